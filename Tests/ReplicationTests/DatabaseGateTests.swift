import Testing

@testable import Replication

@Suite struct `A database that is not prepared yet` {
    @Test func `pauses a flow that reaches it until it is open, and is reported once`() throws {
        let scene = EncoderScene(start: { $0.openDatabases = [] })
        #expect(!scene.encoder.isPaused)
        scene.string("a", database: 3)
        #expect(scene.encoder.isPaused)
        #expect(scene.encoder.takeUnreportedDatabases() == [3])
        #expect(scene.encoder.takeUnreportedDatabases() == [], "it is reported once")
        scene.encoder.open(3)
        scene.string("b", database: 3)
        #expect(!scene.encoder.isPaused)
    }

    @Test func `pauses a flow at a MOVE to it as well, but never for the checkpoint's own database`() throws {
        let scene = EncoderScene(start: { $0.openDatabases = [] })
        try scene.journal("MOVE k 4")
        #expect(scene.encoder.takeUnreportedDatabases() == [0, 4])
        scene.encoder.open(0)
        #expect(scene.encoder.isPaused)
        scene.encoder.open(4)
        #expect(!scene.encoder.isPaused)

        let other = EncoderScene(start: { $0.openDatabases = [] })
        _ = other.encoder.endBatch(flowBytes: 0)
        #expect(!other.encoder.isPaused)
        #expect(other.encoder.databases == [])
    }
}
