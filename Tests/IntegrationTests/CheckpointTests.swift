import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// Where the position is kept: in the target, in a file, or, if checkpoints are disabled, not for the next start.
@Suite(.serialized) struct `A task's position` {
    private let often = ["store: file", "intervalSeconds: 1"]
    private let seldom = ["store: file", "intervalSeconds: 3600"]

    @Test func `in a file is resumed after a kill, without a key of its own in the target`() throws {
        let scene = try RedisScene()
        for index in 0..<100 { scene.master.execute("SET k:\(index) \(index)") }
        var daemon = try scene.start(often)
        try daemon.wait(forLine: "checkpoint.store is file: at least once")
        try daemon.wait(forLine: "event=stable")
        for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
        try scene.waitUntilFiled()
        daemon.process.kill()
        for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
        daemon = try scene.start(often)
        try daemon.wait(forLine: "resuming at the checkpoint")
        try scene.waitUntilEqual()
        #expect(try !scene.hasKey)
        #expect(scene.master.fullSyncs == 1)
        try daemon.leave()
        #expect(scene.filed == scene.master.nextLSNs, "a leave stores the last position")
        #expect(scene.master.violations == [])
    }

    @Test func `in a file does not change that a target out of memory refuses a batch as a whole`() throws {
        let scene = try RedisScene(target: ["--maxmemory-policy", "noeviction"])
        let daemon = try scene.start(["store: file"])
        try daemon.wait(forLine: "stable: following")
        scene.master.execute("RPUSH list " + (0..<40).map { "\($0)" }.joined(separator: " "))
        try scene.waitUntilEqual()
        try scene.client.command("CONFIG", "SET", "maxmemory", "1")
        // Our own script, which needs memory only inside, and a command that must not be repeated.
        for _ in 0..<20 {
            scene.master.execute("LPOP list")
            scene.master.execute("INCRBYFLOAT float 1.5")
        }
        try daemon.wait(forLine: "the target refuses writes: ")
        try scene.client.command("CONFIG", "SET", "maxmemory", "0")
        try scene.waitUntilEqual()
        #expect(try scene.get("float") == "30")
        #expect(try scene.client.command("LLEN", "list") == .integer(20))
        #expect(try scene.client.command("EXISTS", "df2redis:nothing") == .integer(0))
        try daemon.leave()
        #expect(daemon.deadLetters == [])
    }

    @Test func `in a file is exact after a leave; after a crash, repeated commands may be refused`() throws {
        let scene = try RedisScene()
        var daemon = try scene.start(seldom)
        try daemon.wait(forLine: "event=stable")
        scene.master.execute("INCR n")
        try wait(until: "it is applied") { try scene.get("n") == "1" }
        try daemon.leave()
        daemon = try scene.start(seldom)
        try daemon.wait(forLine: "resuming at the checkpoint")
        for line in ["INCR n", "SET a 1", "RENAME a b", "XADD x 5-1 f v", "SET last 1"] { scene.master.execute(line) }
        try wait(until: "it is applied") { try scene.get("last") == "1" }
        #expect(try scene.get("n") == "2", "a leave in order repeats nothing")

        daemon.process.kill()
        scene.master.execute("SET later 1")
        daemon = try scene.start(seldom)
        try wait(until: "it goes on") { try scene.get("later") == "1" }
        try wait(until: "the other flow repeats: at least once") { try scene.get("n") == "3" }
        try wait(until: "what is repeated is told") {
            daemon.deadLetters.contains { $0.kind == "repeated" && $0.key == "x" }
        }
        try wait(until: "the daemon has asked how far that may go") {
            scene.master.connections.contains { $0.commands.contains { $0.hasPrefix("DFLY REPLICAOFFSET") } }
        }
        #expect(scene.master.fullSyncs == 1)
        // What comes now has not been applied before.
        scene.master.send(journal: [JournalEntry("LPUSH later x")], flow: 0)
        try daemon.expectExit(65)
    }

    @Test func `is not resumed if the note of a stop by policy is incomplete`() throws {
        let scene = try RedisScene()
        scene.master.execute("SET k v")
        try scene.start(["store: target"]).wait(forLine: "event=stable")
        try scene.daemon.leave()
        try scene.client.command("HSET", "df2redis:checkpoint:lab", "stopped", "by policy")
        let daemon = try scene.start(["store: target"])
        try daemon.wait(forLine: "a full sync is needed: the task was stopped by policy")
        try daemon.wait(forLine: "reconciled:")
        try daemon.leave()
        #expect(scene.master.fullSyncs == 2)
    }

    @Test func `in a damaged file leads to a full sync, which gives the reason and removes deleted keys`() throws {
        let scene = try RedisScene()
        scene.master.execute("SET stays 1")
        scene.master.execute("SET goes 1")
        var daemon = try scene.start(often)
        try daemon.wait(forLine: "event=stable")
        try scene.waitUntilFiled()
        try daemon.leave()
        let bytes = try #require(FileManager.default.contents(atPath: scene.path))
        try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: scene.path))
        scene.master.execute("DEL goes")
        daemon = try scene.start(often)
        try daemon.wait(forLine: "is damaged: it is cut short")
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 2)
        try daemon.leave()
    }

    @Test func `is not written over a file that is not a checkpoint file`() throws {
        let scene = try RedisScene()
        let path = try scene.folder.write("{\"lsn\": 5}", to: "foreign.json")
        let daemon = try scene.start(["store: file", "path: \(path)"])
        try daemon.expectExit(78)
        #expect(daemon.logs("foreign.json cannot be used: it is no checkpoint file of df2redis"))
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "{\"lsn\": 5}")
        #expect(scene.master.sessionsStarted == 0, "the source is not even asked")
    }

    @Test func `in a file is stored for all flows at a global command, before later commands are applied`() throws {
        let scene = try RedisScene()
        let daemon = try scene.start(seldom)
        try daemon.wait(forLine: "event=stable")
        for index in 0..<20 { scene.master.execute("SET k:\(index) v") }
        scene.master.execute("FLUSHALL")
        let behind = scene.master.nextLSNs
        for index in 0..<20 { scene.master.execute("INCR n:\(index)") }
        try scene.waitUntilEqual()
        #expect(scene.filed == behind)
        #expect(scene.master.nextLSNs != behind)
    }

    @Test func `in a file causes one warning while it cannot be written, and is written again afterwards`() throws {
        let scene = try RedisScene()
        let daemon = try scene.start(often)
        try daemon.wait(forLine: "event=stable")
        try scene.waitUntilFiled()
        let before = scene.filed
        let obstacle = scene.path + ".new"
        try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: true)
        for index in 0..<20 { scene.master.execute("INCR n:\(index)") }
        try daemon.wait(forLine: "cannot write the checkpoint file, the previous one stays")
        try scene.waitUntilEqual()
        #expect(scene.filed == before)
        try FileManager.default.removeItem(atPath: obstacle)
        try daemon.wait(forLine: "the checkpoint file can be written again")
        try scene.waitUntilFiled()
        #expect(daemon.count(of: "the previous one stays") == 1, "once")
        try daemon.leave()
    }

    @Test func `moves from the target to a file and back, and nothing is applied twice`() throws {
        let scene = try RedisScene()
        var expected = 0
        func run(_ checkpoint: [String]) throws {
            let daemon = try scene.start(checkpoint)
            try daemon.wait(forLine: "event=stable")
            for index in 0..<20 { scene.master.execute("INCR n:\(index)") }
            expected += 1
            try wait(until: "it is applied") {
                try (0..<20).allSatisfy { try scene.get("n:\($0)") == "\(expected)" }
            }
            try daemon.leave()
            #expect(try scene.hasKey == (checkpoint == ["store: target"]))
            #expect(FileManager.default.fileExists(atPath: scene.path) == (checkpoint != ["store: target"]))
        }
        for checkpoint in [["store: target"], seldom, ["store: target"], seldom, seldom] { try run(checkpoint) }
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
    }

    @Test func `in a file does not suffice after a restart of the target: a full sync follows`() throws {
        let scene = try RedisScene(target: ["--appendonly", "yes", "--appendfsync", "always"])
        scene.master.execute("SET k 1")
        let daemon = try scene.start(often)
        try daemon.wait(forLine: "event=stable")
        try scene.waitUntilFiled()
        try scene.redis.restart()
        try daemon.wait(forLine: "a file cannot tell what it has lost")
        try wait(until: "it has synced in full again") { scene.master.fullSyncs == 2 }
        scene.master.execute("SET k 2")
        let client = try scene.redis.client()
        try wait(until: "it follows") { try client.command("GET", "k").text == "2" }
        try daemon.leave()
    }

    @Test func `is ignored by the next start if checkpoints are disabled`() throws {
        let scene = try RedisScene()
        scene.master.execute("SET goes 1")
        for round in 1...2 {
            let daemon = try scene.start(["enabled: false"])
            try daemon.wait(forLine: "stable: following")
            #expect(scene.master.fullSyncs == round)
            if round == 2 { try daemon.wait(forLine: "reconciled:") }
            // A lost session is resumed: only a new start begins with a full sync.
            scene.master.endSessions()
            try daemon.wait(forLine: "resuming at the checkpoint")
            scene.master.execute("DEL goes")
            try scene.waitUntilEqual()
            try daemon.leave()
            #expect(scene.master.fullSyncs == round)
        }
    }

    @Test func `is kept under the configured key prefix, and no full sync removes it`() throws {
        let scene = try RedisScene()
        for round in 1...2 {
            let daemon = try scene.start(["keyPrefix: 'ours/'"])
            try daemon.wait(forLine: "stable: following")
            scene.master.execute("INCR n")
            scene.master.execute("FLUSHALL")
            scene.master.execute("SET k v")
            try wait(until: "it is applied") { try scene.get("k") == "v" }
            if round == 2 { try daemon.wait(forLine: "reconciled:") }
            try daemon.leave()
            scene.master.execute("SET k w")
            scene.master.forgetBacklog()
        }
        #expect(try scene.client.command("HGET", "ours/lab", "databases").text == "0")
        let fields = try scene.client.command("HKEYS", "ours/lab").array?.compactMap(\.text) ?? []
        #expect(
            fields.filter { !$0.hasPrefix("beside:") }.sorted() == [
                "counts", "databases", "flow:0", "flow:1", "marked:0", "source",
            ])
        #expect(try !scene.hasKey)
    }
}

extension RedisScene {
    @discardableResult
    fileprivate func start(_ checkpoint: [String]) throws -> Daemon {
        try start(sections: ["checkpoint": checkpoint])
    }

    fileprivate var path: String { folder.file("state/\(Daemon.taskName).checkpoint.json") }

    /// The positions that the file holds.
    fileprivate var filed: [UInt64]? {
        let object = FileManager.default.contents(atPath: path)
            .flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
        let record = object?["record"] as? [String: Any]
        return (record?["nextLSNs"] as? [NSNumber])?.map(\.uint64Value)
    }

    fileprivate func waitUntilFiled() throws {
        try wait(until: "the file holds where the source is") { self.filed == self.master.nextLSNs }
    }

    fileprivate var hasKey: Bool { get throws { try client.command("EXISTS", "df2redis:checkpoint:lab").int == 1 } }
}
