import Redis
import Testing
import Wire

@testable import Replication

/// At the source it has taken the place of a value that the target holds.
@Suite struct `A value that the target cannot hold` {
    private static let json: [UInt8] = [2, 0x7B, 0x7D]

    @Test func `removes the older value of its key`() throws {
        let scene = EncoderScene()
        scene.entry(.json, "j", body: Self.json)
        try scene.journal("JSON.SET doc $ {}")
        try scene.journal("BF.ADD filter x")
        try scene.journal([
            Array("RESTORE".utf8), Array("copy".utf8), Array("0".utf8), [30, 1, 2], Array("REPLACE".utf8),
        ])
        #expect(try scene.lines() == ["SELECT 0", "UNLINK j", "UNLINK doc", "UNLINK filter", "UNLINK copy"])
        #expect(scene.letters == ["json \"j\"", "json \"doc\"", "bloom-filter \"filter\"", "restore-payload \"copy\""])
    }

    @Test func `leaves the older value under onUnsupported stop or a conflict policy`() throws {
        let stopping = EncoderScene(policy: { $0.onUnsupported = .stop })
        stopping.entry(.json, "j", body: Self.json)
        #expect(try stopping.lines() == ["SELECT 0"])
        #expect(stopping.failure?.code == .policy)

        let skipping = EncoderScene(policy: { ($0.onUnsupported, $0.onConflict) = (.skip, .skip) })
        skipping.entry(.json, "j", body: Self.json)
        #expect(try skipping.lines() == ["SELECT 0"])
        skipping.becomeStable()
        try skipping.journal("JSON.SET j $ {}", inSnapshot: false)
        #expect(try skipping.lines() == ["SELECT 0", "UNLINK j"], "behind the full sync the keys are the task's")
    }

    @Test func `is not assumed for a record that changes no value or is unknown`() throws {
        let scene = EncoderScene(policy: { ($0.onUnsupported, $0.elementExpiry) = (.skip, .unsupported) })
        for line in ["FT.CREATE index", "CL.THROTTLE gate 1 2 3", "NEWCOMMAND k", "HEXPIRE h 5 FIELDS 1 f"] {
            try scene.journal(line)
        }
        #expect(try scene.lines() == ["SELECT 0"])
    }
}
