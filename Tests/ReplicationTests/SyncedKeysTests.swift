import Foundation
import Lab
import Testing

@testable import Replication

/// The keys that a reconciling full sync knows to be the source's; others are removed ahead of a command.
@Suite struct `The keys of a full sync that reconciles` {
    private func reconciling() -> EncoderScene {
        EncoderScene(start: { $0.keyFolder = NSTemporaryDirectory() })
    }

    private func lacks(_ scene: EncoderScene, _ key: String, _ database: UInt32 = 0) -> Bool {
        scene.encoder.reconcile.synced([Array(key.utf8)], database: database).isEmpty
    }

    @Test func `include both places of a MOVE, whose destination is freed of an old value`() throws {
        let scene = reconciling()
        scene.string("mv")
        try scene.journal("MOVE mv 1")
        #expect(
            try scene.lines() == ["SELECT 0", "SET mv v", "SELECT 1", "UNLINK mv", "SELECT 0", "MOVE mv 1"])
        #expect(!lacks(scene, "mv") && !lacks(scene, "mv", 1) && lacks(scene, "mv", 2))
        #expect(scene.encoder.databases == [0, 1], "a later full sync looks there too")
    }

    @Test func `include a destination that the snapshot has brought, which a MOVE leaves alone`() throws {
        let scene = reconciling()
        scene.string("mv", database: 1)
        scene.string("mv")
        try scene.journal("MOVE mv 1")
        #expect(try scene.lines() == ["SELECT 1", "SET mv v", "SELECT 0", "SET mv v", "MOVE mv 1"])
    }

    @Test func `include what a SORT or GEORADIUS stores`() throws {
        let scene = reconciling()
        scene.string("src")
        scene.encoder.snapshotCompleted()
        try scene.journal("SORT src STORE dst")
        try scene.journal("GEORADIUSBYMEMBER src m 1 km STOREDIST near")
        #expect(
            try scene.lines() == [
                "SELECT 0", "SET src v", "UNLINK dst", "\(scene.storing) SORT src STORE dst", "UNLINK near",
                "\(scene.storing) GEORADIUSBYMEMBER src m 1 km STOREDIST near",
            ])
        #expect(!lacks(scene, "dst") && !lacks(scene, "near"))
    }

    @Test(.enabled(if: SmallFileSystem.isPossible, "nothing can be mounted here"))
    func `end the session with the file's error if they cannot be stored`() throws {
        let folder = try TemporaryFolder("keys")
        let disk = try SmallFileSystem(at: folder.file("small"), bytes: 800 << 10)
        let scene = EncoderScene(start: { $0.keyFolder = disk.path })
        for index in 0..<200_000 where scene.failure == nil {
            scene.string("key:\(index)")
            if scene.encoder.isPaused { _ = scene.encoder.endBatch(flowBytes: 0) }
        }
        let failure = try #require(scene.failure)
        #expect(failure.code == .file && failure.message.contains("No space left on device"))
    }
}
