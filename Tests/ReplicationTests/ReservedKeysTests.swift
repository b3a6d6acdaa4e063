import Foundation
import Testing

@testable import Replication

/// Keys of the source that have the names of our own.
@Suite struct `Keys with reserved names` {
    private static let ours = "df2redis:checkpoint:test"

    @Test(
        arguments: [
            ("SET df2redis:checkpoint:test boo", []), ("DEL df2redis:checkpoint:test", []),
            ("DEL a df2redis:checkpoint:test b", ["DEL a b"]), ("UNLINK df2redis:x a", ["UNLINK a"]),
            ("MSET a 1 df2redis:x 2 b 3", ["MSET a 1 b 3"]), ("MSET df2redis:x 2", []),
            ("RENAME a df2redis:x", ["UNLINK a"]), ("RENAME df2redis:x a", []), ("MOVE df2redis:x 1", []),
            ("HSET df2redis:checkpoint:test flow:0 boo", []), ("SORT src STORE df2redis:x", []),
            ("SET a df2redis:x", ["SET a df2redis:x"]), ("XGROUP CREATE df2redis:x g 0", []),
        ] as [(String, [String])])
    func `are left out of the journal's commands`(_ line: String, _ rest: [String]) throws {
        let scene = EncoderScene(policy: { $0.onUnsupported = .stop })
        try scene.journal(line)
        #expect(try scene.lines().filter { !$0.hasPrefix("SELECT") } == rest)
        #expect(scene.failure == nil, "they are no reason to stop")
        #expect(scene.letters.isEmpty == (line == "SET a df2redis:x"))
    }

    @Test func `are left out of the snapshot, and reported`() throws {
        let scene = EncoderScene()
        scene.string(Self.ours)
        scene.string("df2redis")
        #expect(try scene.lines() == ["SELECT 0", "SET df2redis v"])
        #expect(scene.letters == ["reserved-key \"\(Self.ours)\""])
    }

    @Test func `are not removed ahead of a command, and its other keys are still recorded`() throws {
        let scene = EncoderScene(start: { $0.keyFolder = NSTemporaryDirectory() })
        try scene.journal("MSET a 1 \(Self.ours) 2")
        #expect(try scene.lines() == ["SELECT 0", "UNLINK a", "MSET a 1"])
        #expect(scene.encoder.reconcile.unsynced([Array("a".utf8)], database: 0) == [])
    }
}
