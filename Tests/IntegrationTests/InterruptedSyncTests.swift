import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// The task's first full sync is ended early, and the source deletes what it has brought.
@Suite(.serialized) struct `A first full sync that is interrupted` {
    /// - Parameter foreign: the target has a foreign key before.
    private func run(
        foreign: Bool, deletesAll: Bool = false, _ body: (SimulatedMaster, RESPClient, Daemon) throws -> Void
    ) throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        if foreign { try client.command("SET", "foreign", "stays") }
        for index in 0..<5000 { _ = master.execute("SET old:\(index) \(index)") }
        master.setFaults(.cutting(.stall, afterBytes: 20_000), on: .flow(0))
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try wait(until: "the first sync has brought keys") {
            (try client.command("DBSIZE").int ?? 0) > 200
        }
        #expect(try client.command("HGET", "df2redis:checkpoint:lab", "databases").isNull)
        if deletesAll {
            _ = master.execute("FLUSHALL")
            master.resume(.flow(0))
        } else {
            for index in 0..<4990 { _ = master.execute("DEL old:\(index)") }
            master.endSessions()
        }
        try daemon.wait(forLine: "event=stable")
        try body(master, client, daemon)
        try daemon.leave()
    }

    private func oldKeys(_ client: RESPClient) throws -> Int {
        try ServerData(reading: client).withoutCheckpoints.count
    }

    @Test func `leaves no stale keys in a target that was empty`() throws {
        try run(foreign: false) { _, client, daemon in
            try daemon.wait(forLine: "reconciled:")
            #expect(try oldKeys(client) == 10)
            let record = "df2redis:checkpoint:lab"
            #expect(try client.command("HGET", record, "databases").text == "0")
            #expect(try client.command("HEXISTS", record, "filling").int == 0)
        }
    }

    @Test func `does not mistake the checkpoint for a foreign key, whatever its name`() throws {
        let master = try SimulatedMaster(.live(nil))
        let port = try master.start()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        for index in 0..<5000 { _ = master.execute("SET old:\(index) \(index)", database: 3) }
        master.setFaults(.cutting(.stall, afterBytes: 20_000), on: .flow(0))
        let daemon = try Daemon(
            .replicate, .init(source: port, target: redis.port, sections: ["checkpoint": ["keyPrefix: 'ours/'"]]))
        defer { daemon.process.kill() }
        try wait(until: "the sync has come to database 3") {
            try client.command("HGET", "ours/lab", "filling").text == "3:0"
        }
        for index in 0..<20 { _ = master.execute("SET late:\(index) v") }
        func lateKeys() throws -> Int { try client.command("KEYS", "late:*").array?.count ?? 0 }
        try wait(until: "the sync has come to database 0") { try lateKeys() > 0 }
        #expect(try client.command("HGET", "ours/lab", "filling").text == "0:0,3:0")
        for index in 0..<20 { _ = master.execute("DEL late:\(index)") }
        master.endSessions()
        try daemon.wait(forLine: "reconciled:")
        #expect(try lateKeys() == 0)
        #expect(!daemon.log.contains("before this task's first full sync"))
        try daemon.leave()
    }

    @Test func `makes a migration fail`() throws {
        let master = try SimulatedMaster(.live(nil))
        let port = try master.start()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        for index in 0..<5000 { _ = master.execute("SET k:\(index) \(index)") }
        master.setFaults(.cutting(.stall, afterBytes: 20_000), on: .flow(0))
        let daemon = try Daemon(.migrate, .init(source: port, target: redis.port))
        defer { daemon.process.kill() }
        let client = try redis.client()
        try wait(until: "the migration has brought keys") { (try client.command("DBSIZE").int ?? 0) > 200 }
        daemon.process.signal(SIGTERM)
        try daemon.expectExit(75)
        #expect(daemon.logs("the migration was ended before it was complete"))
        #expect(!daemon.log.contains("done: "))
    }

    @Test func `removes no key that was there before, and logs how many there were`() throws {
        try run(foreign: true) { _, client, daemon throws in
            #expect(daemon.logs("database 0 held 1 keys before this task's first full sync"))
            #expect(try client.command("GET", "foreign").text == "stays")
            #expect(try oldKeys(client) > 10, "what cannot be told from keys of others stays")
        }
    }

    @Test func `leaves both sides empty after a FLUSHALL of the source`() throws {
        try run(foreign: false, deletesAll: true) { _, client, daemon in
            try daemon.wait(forLine: "reconciled:")
            #expect(try oldKeys(client) == 0)
        }
    }
}
