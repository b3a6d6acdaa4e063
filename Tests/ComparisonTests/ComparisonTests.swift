import Comparison
import Dragonfly
import Foundation
import Lab
import Link
import Redis
import Servers
import Testing

@Suite struct `Two servers` {
    /// Small values are in one reply, large ones are compared in pieces.
    private static let sizes = [3, 2000]

    /// A key of each type, of `count` elements, on both sides.
    private func fillBoth(_ servers: TwoServers, count: Int) throws {
        try servers.onBoth("SET", "string", String(repeating: "v", count: count * 700))
        try servers.fill(["HSET", "hash"], count: count) { ["field\($0)", "\($0)"] }
        try servers.fill(["SADD", "set"], count: count) { ["member\($0)"] }
        try servers.fill(["ZADD", "zset"], count: count) { ["\(Double($0) / 7)", "member\($0)"] }
        try servers.fill(["RPUSH", "list"], count: count) { ["element\($0)"] }
        for number in 1...count { try servers.onBoth("XADD", "stream", "\(number)-0", "field", "value") }
        try servers.onBoth("XGROUP", "CREATE", "stream", "group", "0")
        try servers.onBoth("XREADGROUP", "GROUP", "group", "consumer", "COUNT", "2", "STREAMS", "stream", ">")
        try servers.onBoth("PEXPIREAT", "hash", "99999999999999")
    }

    @Test(arguments: sizes) func `that hold the same data are equal`(_ count: Int) async throws {
        let servers = try TwoServers()
        try fillBoth(servers, count: count)
        for mode in ComparisonOptions.Mode.allCases {
            let (summary, differences) = try await servers.compare { $0.mode = mode }
            #expect(summary.isEqual)
            #expect(summary.keys == 6)
            #expect(differences == [])
        }
    }

    @Test func `that hold the same data in another order or encoding are equal`() async throws {
        let servers = try TwoServers()
        try servers.onTarget.command("CONFIG", "SET", "hash-max-listpack-entries", "4")
        try servers.onTarget.command("CONFIG", "SET", "zset-max-listpack-entries", "4")
        for number in 0..<300 {
            try servers.onSource.command("HSET", "hash", "f\(number)", "v")
            try servers.onTarget.command("HSET", "hash", "f\(299 - number)", "v")
            try servers.onSource.command("ZADD", "zset", "\(number)e3", "m\(number)")
            try servers.onTarget.command("ZADD", "zset", "\(299 - number)000", "m\(299 - number)")
            try servers.onSource.command("SADD", "set", "\(number)")
            try servers.onTarget.command("SADD", "set", "\(299 - number)")
        }
        #expect(try await servers.compare().differences == [])
    }

    @Test(arguments: [3, 3000]) func `are equal if only the cached count of a HyperLogLog differs`(
        _ count: Int
    ) async throws {
        let scene = try TwoServers()
        try scene.fill(["PFADD", "h"], count: count) { ["element \($0)"] }
        try scene.onTarget.command("PFCOUNT", "h")
        #expect(try await scene.compare().differences == [])
        try scene.onTarget.command("PFADD", "h", "another one")
        #expect(try await scene.compare().differences.count == 1)
    }

    @Test func `that are empty are equal`() async throws {
        let (summary, _) = try await TwoServers().compare()
        #expect(summary.isEqual)
        #expect(summary.keys == 0 && summary.databases == [])
    }

    @Test(arguments: sizes) func `differ if values differ in one element, for every type`(_ count: Int) async throws {
        let servers = try TwoServers()
        try fillBoth(servers, count: count)
        let last = count - 1
        try servers.onTarget.command("SETRANGE", "string", "\(count * 700 - 1)", "x")
        try servers.onTarget.command("HSET", "hash", "field\(last)", "other")
        try servers.onTarget.command("SREM", "set", "member\(last)")
        try servers.onTarget.command("SADD", "set", "other")
        try servers.onTarget.command("ZADD", "zset", "-1", "member\(last)")
        try servers.onTarget.command("LSET", "list", "-1", "other")
        try servers.onTarget.command("XDEL", "stream", "\(count)-0")
        try servers.onTarget.command("XADD", "stream", "\(count)-1", "field", "other")
        let (summary, differences) = try await servers.compare()
        #expect(
            differences == [
                "value hash hash", "value list list", "value set set", "value stream stream", "value string string",
                "value zset zset",
            ])
        #expect(!summary.isEqual)
        // The lengths are unchanged: only the values differ.
        #expect(try await servers.compare { $0.mode = .length }.differences == [])
    }

    @Test(arguments: sizes) func `differ if values differ in length, for every type`(_ count: Int) async throws {
        let servers = try TwoServers()
        try fillBoth(servers, count: count)
        try servers.onTarget.command("APPEND", "string", "x")
        try servers.onTarget.command("HSET", "hash", "new", "v")
        try servers.onTarget.command("SADD", "set", "new")
        try servers.onTarget.command("ZADD", "zset", "1", "new")
        try servers.onTarget.command("RPUSH", "list", "new")
        try servers.onTarget.command("XADD", "stream", "\(count + 1)-0", "field", "value")
        let expected = ["hash", "list", "set", "stream", "string", "zset"].map { "length \($0) \($0)" }
        #expect(try await servers.compare { $0.mode = .length }.differences == expected)
        #expect(try await servers.compare().differences == expected)
        #expect(try await servers.compare { $0.mode = .outline }.differences == [])
    }

    @Test func `differ by missing keys, extra keys, types and TTLs`() async throws {
        let servers = try TwoServers()
        for database in ["0", "3"] {
            try servers.onBoth("SELECT", database)
            try servers.onSource.command("SET", "only-source", "v")
            try servers.onTarget.command("RPUSH", "only-target", "v")
            try servers.onSource.command("SET", "kind", "v")
            try servers.onTarget.command("SADD", "kind", "v")
            try servers.onBoth("SET", "deadline", "v")
            try servers.onSource.command("PEXPIREAT", "deadline", "99999999999999")
        }
        for mode in ComparisonOptions.Mode.allCases {
            let (summary, differences) = try await servers.compare { $0.mode = mode }
            let each = [
                "extra list only-target", "missing string only-source", "ttl string deadline", "type string kind",
            ]
            #expect(differences == each.flatMap { [$0, $0] })
            #expect(summary.databases == [0, 3])
            #expect(summary.differences[.missing] == ["string": 2])
        }
        let one = try await servers.compare { $0.databases = [3] }
        #expect(one.differences.count == 4 && one.summary.databases == [3])
    }

    @Test func `differ by the consumer groups of a stream`() async throws {
        let servers = try TwoServers()
        for key in ["position", "pending", "missing", "consumer"] {
            for number in 1...4 { try servers.onBoth("XADD", key, "\(number)-0", "f", "v") }
            try servers.onBoth("XGROUP", "CREATE", key, "group", "0")
            try servers.onBoth("XREADGROUP", "GROUP", "group", "c", "COUNT", "2", "STREAMS", key, ">")
        }
        try servers.onTarget.command("XGROUP", "SETID", "position", "group", "4")
        try servers.onTarget.command("XACK", "pending", "group", "1-0")
        try servers.onTarget.command("XGROUP", "DESTROY", "missing", "group")
        try servers.onSource.command("XGROUP", "CREATECONSUMER", "consumer", "group", "idle")
        #expect(
            try await servers.compare().differences == [
                "groups stream consumer", "groups stream missing", "groups stream pending", "groups stream position",
            ])
    }

    @Test func `are equal if a TTL at the target is later by a margin that df2redis adds`() async throws {
        let servers = try TwoServers()
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        for (place, margin) in [90_337, 86_400_613].enumerated() {
            try servers.onSource.command("SET", "key\(place)", "v", "PXAT", "\(now + 600_000)")
            try servers.onTarget.command("SET", "key\(place)", "v", "PXAT", "\(now + 600_000 + Int64(margin))")
        }
        let (summary, differences) = try await servers.compare { $0.ttlMargins = [90_337, 86_400_613] }
        #expect(differences == [])
        #expect(summary.lateTTLs == 2)
        #expect(try await servers.compare().differences.count == 2)
    }

    @Test func `are equal although the target has df2redis' own keys`() async throws {
        let servers = try TwoServers()
        try servers.onBoth("SET", "key", "v")
        for key in ["df2redis:checkpoint:test", "own:prefix:other", "df2redis:tasks"] {
            try servers.onTarget.command("HSET", key, "own:prefix:other", "0")
        }
        try servers.onTarget.command("SET", "own:prefix:other:owner", "v")
        let (summary, differences) = try await servers.compare()
        #expect(differences == [])
        #expect(summary.keys == 1)
    }

    @Test func `can be compared by a key pattern, and by a sample of the same keys on both sides`() async throws {
        let servers = try TwoServers()
        for number in 0..<2000 {
            try servers.onSource.command("SET", "a\(number)", "v")
            try servers.onTarget.command("SET", "b\(number)", "v")
        }
        let part = try await servers.compare { $0.filter = "?1*" }
        #expect(part.summary.keys == 1111)
        #expect(part.differences.count == 2222)

        for number in 0..<2000 { try servers.onBoth("SET", "both\(number)", "v") }
        let sample = try await servers.compare {
            $0.filter = "both*"
            $0.samplePercent = 25
        }
        #expect((200..<900).contains(sample.summary.keys))
        #expect(sample.differences == [])
    }

    @Test func `can be compared with a limit of commands per second`() async throws {
        let servers = try TwoServers()
        for number in 0..<200 { try servers.onBoth("SET", "key\(number)", "v") }
        let (summary, differences) = try await servers.compare { $0.commandsPerSecond = 5000 }
        #expect(summary.keys == 200 && differences == [])
    }

    @Test func `differ in binary keys, which the JSON lines have in hexadecimal`() async throws {
        let servers = try TwoServers()
        _ = try servers.onSource.send([Array("SET".utf8), [0xFF, 0x00, 0x0A], Array("v".utf8)])
        _ = try servers.onSource.send([Array("SET".utf8), Array("a\"b".utf8), Array("v".utf8)])
        let lines = Lock<[String]>([])
        let options = ComparisonOptions(checkpointKey: "df2redis:checkpoint:test")
        _ = try await Comparison(
            servers.pair, options: options, onDifference: { line in lines.withLock { $0.append(line.json) } }
        ).run()
        #expect(
            Set(lines.withLock { $0 }) == [
                #"{"database":0,"kind":"missing","type":"string","keyHex":"ff000a"}"#,
                #"{"database":0,"kind":"missing","type":"string","key":"a\"b","keyHex":"612262"}"#,
            ])
    }
}

@Suite struct `A comparison under writes` {
    @Test func `reports no key that differs only until the target has caught up`() async throws {
        let servers = try TwoServers()
        try servers.onBoth("SET", "late", "old")
        try servers.onSource.command("SET", "late", "new")
        try servers.onSource.command("SET", "never", "new")
        let port = servers.target.port
        let hasCaughtUp = Lock(false)
        let (_, differences) = try await Self.compare(servers) { progress in
            // The first reading is over.
            guard progress.step == .confirming else { return }
            let isFirst = hasCaughtUp.withLock { hasCaughtUp in
                defer { hasCaughtUp = true }
                return !hasCaughtUp
            }
            if isFirst { _ = try? RESPClient(port: port).command("SET", "late", "new") }
        }
        #expect(differences == ["never"])
    }

    @Test func `counts a key that changes all the time as changing, not as different`() async throws {
        let servers = try TwoServers()
        try servers.onBoth("SET", "quiet", "v")
        try servers.onBoth("SET", "hot", "0")
        try servers.onSource.command("INCR", "hot")
        let port = servers.source.port
        let (summary, differences) = try await Self.compare(servers) { progress in
            if progress.step == .confirming { _ = try? RESPClient(port: port).command("INCR", "hot") }
        }
        #expect(differences == [])
        #expect(summary.changing == 1)
        #expect(summary.isEqual)
    }

    @Test func `waits for a fixed time if the source reports no journal position`() async throws {
        // The integration tests have a source that reports its journal's position, as only a Dragonfly does; here
        // the source reports none.
        let servers = try TwoServers()
        try servers.onTarget.command("HSET", "df2redis:checkpoint:test", "flow:0", "stable id 1 5")
        try servers.onSource.command("SET", "key", "v")
        #expect(try await servers.compare().differences == ["missing string key"])
    }

    private static func compare(
        _ servers: TwoServers, onProgress: @escaping @Sendable (ComparisonProgress) -> Void
    ) async throws -> (ComparisonSummary, [String]) {
        var options = ComparisonOptions(checkpointKey: "df2redis:checkpoint:test")
        options.settle = .milliseconds(100)
        options.rounds = 4
        let found = Lock<[String]>([])
        let summary = try await Comparison(
            servers.pair, options: options,
            onDifference: { difference in found.withLock { $0.append(String(decoding: difference.key, as: UTF8.self)) }
            },
            onProgress: onProgress
        ).run()
        return (summary, found.withLock { $0 })
    }
}

@Suite struct `A comparison that fails` {
    @Test func `names the side that cannot be reached`() async throws {
        let servers = try TwoServers()
        servers.target.stop()
        do {
            _ = try await servers.compare()
            Issue.record("there was no target")
        } catch ServerError.target(let error) {
            #expect(error.code == .unreachable)
        }
        servers.source.stop()
        do {
            _ = try await servers.compare()
            Issue.record("there was no source")
        } catch ServerError.source(let error) {
            #expect(error.code == .unreachable)
        }
    }

    @Test func `names the ACL rule that the user lacks`() async throws {
        let servers = try TwoServers()
        try servers.onBoth("SET", "key", "v")
        try servers.onSource.command("ACL", "SETUSER", "default", "-pexpiretime")
        do {
            _ = try await servers.compare()
            Issue.record("the command was allowed")
        } catch ServerError.source(let error) {
            #expect(error.code == .permission)
            #expect(error.message.contains("+pexpiretime"))
        }
    }
}
