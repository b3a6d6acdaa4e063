import Foundation
import Lab
import Testing
import Wire

/// Values too large for one DUMP, at a real master.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Large values that differ` {
    /// Fills keys of every type with some megabytes each.
    fileprivate static func fill(_ client: RESPClient, elements: Int = 30_000) throws {
        func words(_ parts: String...) -> [[UInt8]] { parts.map { Array($0.utf8) } }
        let filler = String(repeating: "v", count: 80)
        try client.command("SET", "large:string", String(repeating: "0123456789abcdef", count: elements * 8))
        try client.command("PEXPIRE", "large:string", "100000000")
        for start in stride(from: 0, to: elements, by: 500) {
            let numbers = start..<min(start + 500, elements)
            var commands = [
                words("RPUSH", "large:list") + numbers.map { Array("\($0) \(filler)".utf8) },
                words("HSET", "large:hash") + numbers.flatMap { [Array("f\($0)".utf8), Array("\(filler)\($0)".utf8)] },
                words("SADD", "large:set") + numbers.map { Array("\($0) \(filler)".utf8) },
                words("ZADD", "large:zset")
                    + numbers.flatMap { [Array("\(Double($0) / 7)".utf8), Array("m\($0) \(filler)".utf8)] },
                words("SADDEX", "large:members", "100000") + numbers.map { Array("\($0) \(filler)".utf8) },
                words("HSETEX", "large:fields", "100000")
                    + numbers.flatMap { [Array("f\($0)".utf8), Array(filler.utf8)] },
            ]
            commands += numbers.map { words("XADD", "large:stream", "\($0 + 1)-1", "field", "\($0) \(filler)") }
            _ = try client.pipeline(commands)
        }
        for group in ["g", "h"] { try client.command("XGROUP", "CREATE", "large:stream", group, "0") }
        try client.command("XREADGROUP", "GROUP", "g", "c", "COUNT", "5000", "STREAMS", "large:stream", ">")
        try client.command("XREADGROUP", "GROUP", "g", "d", "COUNT", "10", "STREAMS", "large:stream", ">")
        try client.command("XGROUP", "CREATECONSUMER", "large:stream", "h", "idle")
        try client.command("PEXPIRE", "large:stream", "100000000")
    }

    private static let keys = ["string", "list", "hash", "set", "zset", "members", "fields", "stream"]

    private static func damage(_ target: RESPClient) throws {
        try target.command("APPEND", "large:string", "x")
        try target.command("LSET", "large:list", "7", "x")
        try target.command("HSET", "large:hash", "f7", "x", "more", "x")
        try target.command("SREM", "large:set", "7 " + String(repeating: "v", count: 80))
        try target.command("ZADD", "large:zset", "1", "a stranger's")
        try target.command("SADD", "large:members", "a stranger's")
        try target.command("HSET", "large:fields", "f7", "x")
        try target.command("XTRIM", "large:stream", "MAXLEN", "10")
        try target.command("PERSIST", "large:stream")
    }

    private func ownValues(_ target: RESPClient) throws -> [String] {
        try target.command("KEYS", "*df2redis:value:*").array?.compactMap(\.text) ?? []
    }

    @Test func `of every type are read in pieces while clients write to them`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 10_000) { try Self.fill($0) }
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "stable: following")
        try waitUntilEqual(source, target)
        try Self.damage(target)
        // Meanwhile clients write to each value.
        for number in 0..<40 {
            try source.command("RPUSH", "large:list", "more \(number)")
            try source.command("HSET", "large:hash", "more \(number)", "x")
            try source.command("SADD", "large:set", "more \(number)")
            try source.command("ZADD", "large:zset", "\(number)", "more \(number)")
            try source.command("APPEND", "large:string", "more")
            try source.command("XADD", "large:stream", "*", "more", "\(number)")
            usleep(25_000)
        }
        do { try waitUntilEqual(timeout: .seconds(120), scene.differences) } catch {
            print(daemon.log, figures(daemon), daemon.status?["verify"] ?? "")
            throw error
        }
        print(figures(daemon), daemon.status?["verify"] ?? "")
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        #expect(figures(daemon)["failed"] as? Int == 0)
        try wait(until: "nothing of ours is left") { try ownValues(target).isEmpty }
        let peak = daemon.process.usage.peakResidentBytes
        print("peak of resident memory: \(peak >> 20) MiB")
        #expect(peak < 400 << 20)
        try daemon.leave()
        #expect(try ServerComparison(source: source, target: target).differences == [])
        #expect(try ownValues(target).isEmpty)
    }

    @Test func `leave no partial copies after a kill, and are read again`() throws {
        let master = try DragonflyServer(shards: 2)
        let redis = try RedisServer()
        let source = try master.client()
        try Self.fill(source, elements: 20_000)
        var configuration = Daemon.Configuration(
            source: master.port, target: redis.port,
            sections: [
                "shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: 20"], "verify": ["keysPerSecond: 10000"],
            ])
        var daemon = try Daemon(.replicate, configuration)
        defer {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }
        let target = try redis.client()
        try daemon.wait(forLine: "stable: following")
        try waitUntilEqual(source, target)
        try Self.damage(target)
        try wait(until: "a value is being built", timeout: .seconds(60)) {
            try ownValues(target).contains { $0.hasSuffix(":part") }
        }
        daemon.process.kill()
        #expect(try !ownValues(target).isEmpty)
        configuration.sections["refresh"] = ["keysPerSecond: 1000"]
        daemon = try Daemon(.replicate, configuration, folder: daemon.folder)
        try waitUntilEqual(source, target, timeout: .seconds(120))
        try wait(until: "nothing of ours is left") { try ownValues(target).isEmpty }
        try daemon.leave()
        #expect(daemon.logs("resuming at the checkpoint"))
        #expect(try ownValues(target).isEmpty)
    }

    @Test func `wait for a target that is out of memory`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 10_000) { try Self.fill($0, elements: 20_000) }
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "stable: following")
        try waitUntilEqual(source, target)
        try Self.damage(target)
        try target.command("CONFIG", "SET", "maxmemory", "1mb")
        try daemon.wait(forLine: "waits for the target", timeout: .seconds(90))
        try target.command("CONFIG", "SET", "maxmemory", "0")
        try waitUntilEqual(source, target, timeout: .seconds(120))
        try wait(until: "nothing of ours is left") { try ownValues(target).isEmpty }
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        try daemon.leave()
    }

    @Test(.timeLimit(.minutes(15))) func `and a flood of small ones are all read despite a kill`() async throws {
        let report = try await onThread { try RefreshFlood(keys: 100_000).run() }
        print(report)
        // What was written, and not confirmed or noted when the process was killed, is read again.
        #expect(report.refreshed >= 90_000)
        #expect(report.differences == 0)
        #expect(report.fullSyncs == 0)
        #expect(report.peakResidentBytes < 200 << 20)
    }
}

private func figures(_ daemon: Daemon) -> [String: Any] { daemon.status?["refreshes"] as? [String: Any] ?? [:] }

extension RunAlone {
    @Suite(.enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
    struct `Large values that differ in a cluster` {
        @Test(.timeLimit(.minutes(10))) func `are read at the source, and both sides are equal`() async throws {
            try await onThread {
                let master = try DragonflyServer(shards: 2)
                let cluster = try RedisCluster()
                let source = try master.client()
                try `Large values that differ`.fill(source, elements: 20_000)
                for number in 0..<200 {
                    try source.command("SET", "{tag \(number % 7)}:\(number)", "v")
                    try source.command("SET", "small:\(number)", "v")
                }
                let daemon = try Daemon(
                    .replicate,
                    .init(
                        source: master.port, target: cluster.nodes[0].port,
                        sections: [
                            "target": ["type: cluster"], "shutdown": ["drainSeconds: 0"],
                            "refresh": ["keysPerSecond: 1000"], "verify": ["keysPerSecond: 10000"],
                        ]))
                defer {
                    daemon.process.kill()
                    cluster.stop()
                    master.stop()
                }
                func differences() throws -> [Difference] {
                    guard daemon.process.isRunning else {
                        throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
                    }
                    return try ServerComparison(source: source, target: cluster).differences
                }
                try daemon.wait(forLine: "stable: following")
                try waitUntilEqual(differences)
                for key in ["large:hash", "large:fields"] {
                    _ = try cluster.command(["HSET", key, "f7", "x"], key: key)
                }
                for key in ["large:set", "large:members"] { _ = try cluster.command(["SADD", key, "x"], key: key) }
                _ = try cluster.command(["LSET", "large:list", "7", "x"], key: "large:list")
                _ = try cluster.command(["ZADD", "large:zset", "1", "x"], key: "large:zset")
                _ = try cluster.command(["APPEND", "large:string", "x"], key: "large:string")
                for number in 0..<20 {
                    for key in ["{tag \(number % 7)}:\(number)", "small:\(number)"] {
                        _ = try cluster.command(["SET", key, "a stranger's"], key: key)
                    }
                    let extra = "{more \(number)}:x"
                    _ = try cluster.command(["SET", extra, "v"], key: extra)
                }
                do { try waitUntilEqual(timeout: .seconds(150), differences) } catch {
                    print(daemon.log, figures(daemon), daemon.status?["verify"] ?? "")
                    throw error
                }
                print(figures(daemon), daemon.status?["verify"] ?? "")
                #expect(daemon.status?["fullSyncs"] as? Int == 1)
                #expect((daemon.status?["verify"] as? [String: Any])?["unplaced"] as? Int == 0)
                try daemon.leave()
            }
        }
    }
}
