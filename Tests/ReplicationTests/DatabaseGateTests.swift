import Testing

@testable import Replication

@Suite struct `A database that is not prepared yet` {
    @Test func `pauses the flow that comes to it, once, until it is open`() throws {
        let scene = EncoderScene()
        scene.encoder.gate = DatabaseGate()
        #expect(!scene.encoder.isPaused)
        scene.string("a", database: 3)
        #expect(scene.encoder.isPaused)
        #expect(scene.encoder.gate?.takeUntold() == [3])
        #expect(scene.encoder.gate?.takeUntold() == [], "it is told once")
        scene.encoder.gate?.open(3)
        scene.string("b", database: 3)
        #expect(!scene.encoder.isPaused)
    }

    @Test func `is also one that a MOVE goes to, and never the checkpoint's own`() throws {
        let scene = EncoderScene()
        scene.encoder.gate = DatabaseGate()
        try scene.journal("MOVE k 4")
        #expect(scene.encoder.gate?.takeUntold() == [0, 4])
        scene.encoder.gate?.open(0)
        #expect(scene.encoder.isPaused)
        scene.encoder.gate?.open(4)
        #expect(!scene.encoder.isPaused)

        let other = EncoderScene()
        other.encoder.gate = DatabaseGate()
        other.encoder.prepareForCheckpoint()
        #expect(!other.encoder.isPaused)
        #expect(other.encoder.databases == [])
    }
}
