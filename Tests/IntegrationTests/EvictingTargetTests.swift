import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

@Suite(.serialized) struct `A target that evicts` {
    private static let checkpoint = "df2redis:checkpoint:lab"

    private func withTask(
        target: [String], _ body: (SimulatedMaster, RedisServer, RESPClient, Daemon) throws -> Void
    ) throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer(target)
        defer { redis.stop() }
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try body(master, redis, redis.client(), daemon)
    }

    private func evicted(_ daemon: Daemon) -> Int {
        (daemon.status?["incidents"] as? [String: Any])?["evicted"] as? Int ?? 0
    }

    @Test(arguments: [
        (["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-random"], true),
        (["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"], true),
        (["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"], false),
        (["--maxmemory", "0", "--maxmemory-policy", "allkeys-lru"], false),
    ]) func `causes a warning at the start, unless its memory or its policy rules out eviction`(
        _ target: [String], isWarned: Bool
    ) throws {
        try withTask(target: target) { _, _, _, daemon in
            try daemon.wait(forLine: "stable: following")
            #expect(daemon.log.contains("the target evicts keys when its maxmemory of 100 MiB is full") == isWarned)
            try daemon.leave()
        }
    }

    @Test func `is reported with the number of evicted keys, and causes no full sync`() throws {
        try withTask(target: ["--maxmemory", "6mb", "--maxmemory-policy", "allkeys-random"]) {
            master, _, client, daemon in
            try daemon.wait(forLine: "stable: following")
            let value = String(repeating: "v", count: 1000)
            for index in 0..<12_000 { master.execute("SET key:\(index) \(value)") }
            try wait(until: "everything is applied") {
                try client.command("EXISTS", "key:11999").int == 1 || self.evicted(daemon) > 0
            }
            try daemon.wait(forLine: "keys since this task began (maxmemory-policy allkeys-random)")
            let counted = try #require(try self.counter("evicted_keys", client))
            try wait(until: "all are counted") { self.evicted(daemon) >= counted }
            #expect(master.fullSyncs == 1)
        }
    }

    @Test func `gets an evicted checkpoint again without a full sync`() throws {
        try withTask(target: ["--maxmemory", "6mb", "--maxmemory-policy", "allkeys-random"]) {
            master, redis, client, daemon in
            for index in 0..<50 { master.execute("SET n:\(index) 1") }
            try daemon.wait(forLine: "stable: following")
            let value = String(repeating: "v", count: 1000)
            // Delete the checkpoint while other keys are evicted: its own eviction would be a matter of chance.
            for index in 0..<12_000 { master.execute("SET key:\(index) \(value)") }
            try wait(until: "keys are evicted") { try self.counter("evicted_keys", client) ?? 0 > 1000 }
            try client.command("DEL", Self.checkpoint)
            try daemon.wait(forLine: "the target has evicted this task's checkpoint (maxmemory-policy allkeys-random)")
            try client.command("CONFIG", "SET", "maxmemory", "0")
            try wait(until: "it is back") {
                try client.command("HGET", Self.checkpoint, "databases").text == "0"
                    && client.command("HEXISTS", Self.checkpoint, "flow:1").int == 1
            }
            // After a kill the next start resumes at it.
            daemon.process.kill()
            for index in 0..<20 { master.execute("INCR c:\(index)") }
            let next = try Daemon(.replicate, .init(source: master.port, target: redis.port), folder: daemon.folder)
            defer { next.process.kill() }
            try next.wait(forLine: "resuming at the checkpoint")
            try wait(until: "it follows") {
                try (0..<20).allSatisfy { try client.command("GET", "c:\($0)").text == "1" }
            }
            #expect(master.fullSyncs == 1)
            try next.leave()
        }
    }

    @Test func `is synced in full if somebody has emptied it`() throws {
        try withTask(target: []) { master, _, client, daemon in
            for index in 0..<50 { master.execute("SET n:\(index) 1") }
            try daemon.wait(forLine: "stable: following")
            try client.command("FLUSHALL")
            try daemon.wait(forLine: "no longer holds this task's checkpoint: it was emptied")
            try waitUntilEqual(RESPClient(port: master.port), client)
            #expect(master.fullSyncs == 2)
        }
    }

    private func counter(_ name: String, _ client: RESPClient) throws -> Int? {
        let info = try client.command("INFO", "stats").text ?? ""
        return info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(name):") }
            .flatMap { Int($0.dropFirst(name.utf8.count + 1)) }
    }
}

extension RunAlone {
    @Suite struct `A cluster that evicts` {
        @Test(arguments: [("allkeys-lru", true), ("volatile-lru", false)])
        func `causes a warning, which names the marks if they may be evicted`(_ policy: String, goMarks: Bool) throws {
            let cluster = try RedisCluster(replicas: 0, ["--maxmemory", "100mb", "--maxmemory-policy", policy])
            let scene = try ClusterScene(into: cluster)
            let daemon = try scene.start()
            try daemon.wait(forLine: "the target evicts keys when its maxmemory of 100 MiB is full")
            #expect(daemon.log.contains("\(policy) may evict df2redis' own marks") == goMarks)
            try daemon.leave()
        }
    }
}
