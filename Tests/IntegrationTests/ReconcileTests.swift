import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A later full sync into a target that the task has filled.
@Suite(.serialized) struct `A full sync over old data` {
    /// A source with keys in databases 0 and 3 that a task has followed and left, and a target with a key of somebody
    /// else's in database 5.
    private func withFilledTarget(
        _ sections: [String: [String]] = [:],
        _ body: (SimulatedMaster, RedisServer, Daemon.Configuration) throws -> Void
    ) throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        _ = try client.command("SELECT", "5")
        _ = try client.command("SET", "foreign", "stays")
        for index in 0..<200 { _ = master.execute("SET old:\(index) \(index)") }
        for index in 0..<50 { _ = master.execute("RPUSH list:\(index) a b", database: 3) }
        let configuration = Daemon.Configuration(source: master.port, target: redis.port, sections: sections)
        let first = try Daemon(.replicate, configuration)
        defer { first.process.kill() }
        try first.wait(forLine: "event=stable")
        try first.leave()
        try body(master, redis, configuration)
    }

    private func expectEqual(
        _ master: SimulatedMaster, _ source: UInt16, _ redis: RedisServer, foreign: String? = "stays"
    ) throws {
        let (one, other) = (try RESPClient(port: source), try redis.client())
        try wait(until: "both sides are equal") {
            let target = try ServerData(reading: other).withoutCheckpoints
            var differences = try ServerData(reading: one).differences(in: target)
            differences.removeAll { $0.description.contains("foreign") }
            return differences.isEmpty
        }
        _ = try other.command("SELECT", "5")
        #expect(try other.command("GET", "foreign").text == foreign)
    }

    @Test func `removes keys deleted at the source in the meantime, in the task's databases only`() throws {
        try withFilledTarget { master, redis, configuration in
            for index in stride(from: 0, to: 200, by: 2) { _ = master.execute("DEL old:\(index)") }
            _ = master.execute("DEL list:7", database: 3)
            master.forgetBacklog()
            let daemon = try Daemon(.replicate, configuration)
            defer { daemon.process.kill() }
            try daemon.wait(forLine: "reconciled: 101 keys removed")
            try expectEqual(master, configuration.source, redis)
            try daemon.leave()
            #expect(master.violations == [])
        }
    }

    @Test func `removes old keys again if the target loses the removal in a crash`() throws {
        let before = try startedMaster(.live(SyntheticDataSet(keys: 50_000, valueBytes: 10)))
        let after = try startedMaster()
        let redis = try RedisServer()
        defer {
            redis.stop()
            before.stop()
            after.stop()
        }
        // The other source has only one key: the task removes so many keys only with fullSync.existing: reconcile.
        let sections = [
            "reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"], "fullSync": ["existing: reconcile"],
        ]
        let first = try Daemon(.replicate, .init(source: before.port, target: redis.port))
        defer { first.process.kill() }
        try first.wait(forLine: "event=stable")
        try first.leave()
        after.execute("SET k v")
        let second = try Daemon(
            .replicate, .init(source: after.port, target: redis.port, sections: sections), folder: first.folder)
        defer { second.process.kill() }
        let (client, checkpoint) = (try redis.client(), "df2redis:checkpoint:lab")
        func isPending() throws -> Bool { try client.command("HEXISTS", checkpoint, "reconcile").int == 1 }
        let end = ContinuousClock.now + .seconds(30)
        while ContinuousClock.now < end {
            if try isPending(), try client.command("HGET", checkpoint, "flow:0").text?.hasPrefix("stable") == true {
                break
            }
        }
        try client.command("SAVE")
        try #require(try isPending(), "it was all removed too soon for this test")
        try second.wait(forLine: "reconciled:")
        // No record moves the position meanwhile.
        try wait(until: "the mark has moved") { try client.command("HEXISTS", checkpoint, "beside:0").int == 1 }
        redis.kill()
        try redis.restart()
        try waitUntilEqual(RESPClient(port: after.port), redis.client())
        try second.leave()
    }

    @Test func `never lets a new write build on an old value`() throws {
        try withFilledTarget { master, redis, configuration in
            for index in 0..<200 { _ = master.execute("DEL old:\(index)") }
            master.forgetBacklog()
            let daemon = try Daemon(.replicate, configuration)
            defer { daemon.process.kill() }
            // Create them again, some before the old values are removed.
            for index in 0..<200 { _ = master.execute("INCR old:\(index)") }
            try daemon.wait(forLine: "reconciled:")
            for index in 0..<200 { _ = master.execute("INCR old:\(index)") }
            try expectEqual(master, configuration.source, redis)
            try daemon.leave()
        }
    }

    @Test(arguments: ["auto", "reconcile"])
    func `leaves keys of others in place at first, and warns of commands that build on them`(_ existing: String) throws
    {
        let (master, redis) = (try startedMaster(), try RedisServer())
        defer {
            redis.stop()
            master.stop()
        }
        let client = try redis.client()
        try client.command("SET", "counter", "100")
        _ = master.execute("SET a 1")
        let daemon = try Daemon(
            .replicate,
            .init(
                source: master.port, target: redis.port, sections: ["fullSync": ["existing: \(existing)"]]))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "event=stable")
        if existing == "reconcile" {
            try wait(until: "the counter is removed") { try client.command("EXISTS", "counter").int == 0 }
        }
        _ = master.execute("INCR counter")
        let expected = existing == "auto" ? "101" : "1"
        try wait(until: "the change is applied") { try client.command("GET", "counter").text == expected }
        #expect(daemon.logs("database 0 of the target holds 1 key already") == (existing == "auto"))
        #expect(daemon.status?["targetKeys"] as? Int != 0)
        try daemon.leave()
    }

    @Test func `removes nothing with fullSync.existing: replace`() throws {
        try withFilledTarget(["fullSync": ["existing: replace"]]) { master, redis, configuration in
            _ = master.execute("DEL old:1")
            master.forgetBacklog()
            let daemon = try Daemon(.replicate, configuration)
            defer { daemon.process.kill() }
            try daemon.wait(forLine: "event=stable")
            try daemon.leave()
            #expect(try redis.client().command("GET", "old:1").text == "1")
        }
    }

    @Test func `removes deleted keys even after a migration or a stop by policy, which leave no position`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        for index in 0..<100 { _ = master.execute("SET old:\(index) v") }
        let configuration = Daemon.Configuration(source: master.port, target: redis.port)
        try Daemon(.migrate, configuration).expectExit(0)
        let record = "df2redis:checkpoint:\(Daemon.taskName)"
        #expect(try client.command("HKEYS", record).array?.compactMap(\.text).sorted() == ["databases", "source"])

        _ = master.execute("DEL old:1")
        let stopped = try Daemon(.replicate, configuration)
        defer { stopped.process.kill() }
        try stopped.wait(forLine: "reconciled: 1 key removed")
        master.send(journal: [JournalEntry("JSON.SET j $ 1")], flow: 0)
        try stopped.expectExit(65)
        #expect(try client.command("HGET", record, "databases").text == "0")

        _ = master.execute("DEL old:2")
        let last = try Daemon(.replicate, configuration)
        defer { last.process.kill() }
        try last.wait(forLine: "reconciled: 1 key removed")
        try last.leave()
        #expect(try ServerData(reading: client).withoutCheckpoints.count == 98)
    }

    @Test func `stops instead of emptying the target when the source has come back empty`() throws {
        try withFilledTarget { master, redis, configuration in
            for index in 0..<200 { _ = master.execute("DEL old:\(index)") }
            for index in 0..<50 { _ = master.execute("DEL list:\(index)", database: 3) }
            master.forgetBacklog()
            for _ in 0..<2 {
                let daemon = try Daemon(.replicate, configuration)
                defer { daemon.process.kill() }
                try daemon.expectExit(65)
                #expect(daemon.logs("set fullSync.existing to reconcile"))
                #expect(try redis.client().command("GET", "old:7").text == "7")
            }
            var named = configuration
            named.sections["fullSync"] = ["existing: reconcile"]
            let daemon = try Daemon(.replicate, named)
            defer { daemon.process.kill() }
            try daemon.wait(forLine: "reconciled: 250 keys removed")
            try expectEqual(master, configuration.source, redis)
            try daemon.leave()
        }
    }

    /// A master that has been restarted without its 1500 keys, after a task has left.
    private func withLostData(_ body: (SimulatedMaster, RedisServer, Daemon.Configuration) throws -> Void) throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        for index in 0..<1500 { _ = master.execute("SET old:\(index) \(index)") }
        let configuration = Daemon.Configuration(source: master.port, target: redis.port)
        let first = try Daemon(.replicate, configuration)
        defer { first.process.kill() }
        try first.wait(forLine: "event=stable")
        try first.leave()
        try body(master, redis, configuration)
    }

    @Test func `stops if a source that lost its data has only a few new keys, however often it is started`()
        throws
    {
        try withLostData { master, redis, configuration in
            master.restart()
            _ = master.execute("FLUSHALL")
            let target = try redis.client()
            for number in 1...3 {
                _ = master.execute("SET new:\(number) v")
                _ = master.execute("SET old:\(number) new")
                let daemon = try Daemon(.replicate, configuration)
                defer { daemon.process.kill() }
                try daemon.expectExit(65)
                let counts = "it has brought \(2 * number) keys, where the target holds \(1499 + number) of this task"
                #expect(daemon.logs(counts), "\(daemon.log)")
                #expect(daemon.logs("set fullSync.existing to reconcile"))
                #expect(try target.command("GET", "old:7").text == "7")
            }
            var named = configuration
            named.sections["fullSync"] = ["existing: reconcile"]
            let daemon = try Daemon(.replicate, named)
            defer { daemon.process.kill() }
            try daemon.wait(forLine: "removing 1497 keys from the target")
            try daemon.wait(forLine: "reconciled: 1497 keys removed")
            try expectEqual(master, configuration.source, redis, foreign: nil)
            try daemon.leave()
        }
    }

    enum Given: CaseIterable {
        case stopByPolicy, migration, disabledCheckpoint
    }

    @Test(arguments: Given.allCases)
    func `recognizes the source even if no position is left`(_ given: Given) throws {
        try withLostData { master, redis, configuration in
            var next = configuration
            switch given {
            case .stopByPolicy:
                let stopped = try Daemon(.replicate, configuration)
                defer { stopped.process.kill() }
                try stopped.wait(forLine: "event=stable")
                master.send(journal: [JournalEntry("BF.ADD filter x")], flow: 0)
                try stopped.expectExit(65)
            case .migration: try Daemon(.migrate, configuration).expectExit(0)
            case .disabledCheckpoint: next.sections["checkpoint"] = ["enabled: false"]
            }
            for index in 10..<1500 { _ = master.execute("DEL old:\(index)") }
            let daemon = try Daemon(.replicate, next)
            defer { daemon.process.kill() }
            try daemon.wait(forLine: "reconciled: 1490 keys removed")
            try expectEqual(master, configuration.source, redis, foreign: nil)
            try daemon.leave()
        }
    }

    @Test func `stops with the reason if it cannot recognize the source`() throws {
        try withLostData { master, redis, configuration in
            let checkpoint = "df2redis:checkpoint:\(Daemon.taskName)"
            try redis.client().command("HDEL", checkpoint, "source", "flow:0", "flow:1")
            for index in 10..<1500 { _ = master.execute("DEL old:\(index)") }
            let daemon = try Daemon(.replicate, configuration)
            defer { daemon.process.kill() }
            try daemon.expectExit(65)
            #expect(
                daemon.logs("which source the target was filled from is not known any more; it has brought 10 keys"))
        }
    }

    @Test
    func `removes most keys if the followed source has deleted them, and fewer if the source has restarted`()
        throws
    {
        try withLostData { master, redis, configuration in
            for index in 100..<1500 { _ = master.execute("DEL old:\(index)") }
            master.forgetBacklog()
            let daemon = try Daemon(.replicate, configuration)
            defer { daemon.process.kill() }
            try daemon.wait(forLine: "removing 1400 keys from the target")
            try daemon.wait(forLine: "reconciled: 1400 keys removed")
            try expectEqual(master, configuration.source, redis, foreign: nil)
            for index in 0..<1400 { _ = master.execute("SET again:\(index) v") }
            try expectEqual(master, configuration.source, redis, foreign: nil)
            try daemon.leave()
            master.restart()
            for index in 0..<600 { _ = master.execute("DEL again:\(index)") }
            let other = try Daemon(.replicate, configuration)
            defer { other.process.kill() }
            try other.wait(forLine: "reconciled: 600 keys removed")
            try expectEqual(master, configuration.source, redis, foreign: nil)
            try other.leave()
        }
    }
}
