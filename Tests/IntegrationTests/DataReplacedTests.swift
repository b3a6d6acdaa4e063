import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A source whose data are replaced without a journal record, and which keeps its replication id.
@Suite(.serialized) struct `A source whose data are replaced` {
    /// A task that follows a source with 400 keys, after the keys of both sides were counted.
    private final class Scene: TaskScene<RedisServer> {
        init(_ sections: [String: [String]] = [:], _ prepare: (SimulatedMaster) -> Void = { _ in }) throws {
            try super.init(
                from: startedMaster(), into: RedisServer(), RedisScene.retryingSoon.merging(sections) { $0 + $1 })
            for index in 0..<200 {
                master.execute("SET string:\(index) old")
                master.execute("INCR counter:\(index)")
            }
            prepare(master)
            try follow()
            guard configuration.sections["checkpoint"] == nil else { return }
            try wait(until: "the two sides have been compared") {
                try client.command("HGET", Self.checkpoint, "counts").text != nil
            }
        }

        func expectFullSync(because reason: String) throws {
            try daemon.wait(forLine: reason)
            try waitUntilEqual()
            #expect(master.fullSyncs == 2)
            #expect(daemon.logs("a full sync is needed: "), "\(daemon.log)")
            try daemon.leave()
            #expect(master.violations == [])
        }

        func becomeReplicaOfAnother() {
            master.becomeReplica { for index in 0..<100 { master.execute("SET other:\(index) v") } }
        }

        /// The source becomes a replica with other data, gets writes and is promoted again.
        func becomeReplicaOfAnotherAndGetWrites() {
            master.becomeReplica {
                for index in 0..<200 {
                    master.execute("SET string:\(index) new")
                    master.execute("INCRBY counter:\(index) 10")
                }
            }
            for index in 0..<100 { master.execute("INCR counter:\(index)") }
            for index in 0..<50 { master.execute("SET added:\(index) v") }
            master.promote()
        }
    }

    private static let noCalls = Refusal("INFO COMMANDSTATS", reply: "NOPERM default has no ACL permissions")

    @Test func `is synced in full if it was a replica between two runs of the task`() throws {
        let scene = try Scene()
        try scene.daemon.leave()
        scene.becomeReplicaOfAnotherAndGetWrites()
        try scene.start()
        try scene.expectFullSync(
            because: "the source has been told to change its role since the checkpoint (2 calls of REPLICAOF")
    }

    /// A client's FLUSHALL, and then a DFLY LOAD ... APPEND.
    @Test func `is synced in full if its number of keys shows a load`() throws {
        let scene = try Scene()
        try scene.daemon.leave()
        scene.master.execute("FLUSHALL")
        scene.master.load(flushes: false) { for index in 0..<400 { scene.master.execute("SET loaded:\(index) v") } }
        for index in 0..<150 { scene.master.execute("APPEND loaded:\(index) x") }
        try scene.start()
        try scene.expectFullSync(because: "the source holds at least 250 keys that its journal has not brought")
    }

    /// Every loaded key is written to before keys are counted: both sides have equally many, with different values.
    @Test func `is synced in full after a load even if both sides have equally many keys`() throws {
        let scene = try Scene()
        try scene.daemon.leave()
        scene.master.reload()
        for index in 0..<200 {
            scene.master.execute("APPEND string:\(index) x")
            scene.master.execute("INCR counter:\(index)")
        }
        try scene.start()
        try scene.expectFullSync(because: "the source's journal has a FLUSHALL that no client has run")
    }

    @Test(arguments: ["target", "file"]) func `is synced in full after a DEBUG RELOAD while the task follows`(
        _ store: String
    ) throws {
        let scene = try Scene(store == "file" ? ["checkpoint": ["store: file"]] : [:])
        scene.master.reload()
        try scene.expectFullSync(because: "a full sync is needed")
    }

    @Test func `is synced in full after a DFLY LOAD that keeps existing keys`() throws {
        let scene = try Scene()
        scene.master.load(flushes: false) { for index in 0..<300 { scene.master.execute("SET loaded:\(index) v") } }
        try scene.expectFullSync(because: "the source holds at least 300 keys that its journal has not brought")
    }

    /// As after a command that the source has refused, and that has left a key without a record.
    @Test func `needs no full sync for a few missing keys, which are found by comparing and read`() throws {
        let scene = try Scene()
        for index in 0..<3 { try scene.client.command("DEL", "string:\(index)") }
        scene.master.load(flushes: false) {
            for index in 0..<5 { scene.master.execute("SET loaded:\(index) v") }
            scene.master.execute("SET string:7 loaded")
        }
        try scene.daemon.wait(forLine: "keys that the source has: both sides are compared to find them")
        try scene.waitUntilEqual()
        // Longer than it takes to be sure that keys are missing.
        let deadline = ContinuousClock.now + .seconds(8)
        while ContinuousClock.now < deadline {
            scene.master.execute("INCR n")
            usleep(20_000)
        }
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
        #expect(!scene.daemon.log.contains("a full sync is needed"))
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `is waited for while it loads a data set`() throws {
        let scene = try Scene()
        try withExtendedLifetime(scene) {
            scene.master.load {
                try? scene.daemon.wait(forLine: "the source is loading a data set")
                try? scene.daemon.wait(forLine: "the source is still loading its data set")
                for index in 0..<30 { scene.master.execute("SET loaded:\(index) v") }
            }
            try scene.expectFullSync(because: "the source is loading a data set, which its journal does not show")
        }
    }

    @Test func `needs no full sync after flushes by clients and frequent inserts and deletes`() throws {
        let scene = try Scene()
        let deadline = ContinuousClock.now + .seconds(12)
        var round = 0
        while ContinuousClock.now < deadline {
            round += 1
            if round % 40 == 0 { scene.master.execute(round % 80 == 0 ? "FLUSHALL" : "FLUSHDB") }
            let keys = (0..<50).map { "hot:\(round % 3):\($0)" }
            scene.master.execute("MSET " + keys.map { "\($0) v" }.joined(separator: " "))
            if round % 3 != 0 { scene.master.execute("DEL " + keys.joined(separator: " ")) }
            usleep(2000)
        }
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
        #expect(!scene.daemon.log.contains("a full sync is needed"))
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    /// This needs no INFO of the source.
    @Test func `is left when it becomes a replica, and is waited for`() throws {
        let scene = try Scene(["checkpoint": ["store: file"]]) { $0.refuse([Self.noCalls]) }
        scene.becomeReplicaOfAnother()
        // Noticed in the answer to an acknowledgement, or at the next handshake if the source was loading before.
        try scene.daemon.wait(forLine: "the source is itself a replica")
        try scene.daemon.wait(forLine: "another attempt in")
        #expect(scene.daemon.process.isRunning)
        scene.master.promote()
        try scene.expectFullSync(because: "the source has been a replica, and has loaded what its master had")
    }

    @Test func `is followed with a warning if the user may not read INFO COMMANDSTATS`() throws {
        let scene = try Scene(["checkpoint": ["store: file"]]) {
            $0.refuse([Self.noCalls])
        }
        try scene.daemon.wait(forLine: "cannot detect data that the source loads without a journal record")
        scene.master.execute("SET k v")
        try scene.waitUntilEqual()
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }
}
