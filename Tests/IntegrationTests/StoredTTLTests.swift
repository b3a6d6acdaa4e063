import Foundation
import Lab
import Testing
import Wire

/// What becomes of a key with a TTL that a command writes to, at a real master and at the target.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Commands over a key with a TTL` {
    private struct Case: Sendable {
        var name: String
        var setUp: String
        var command: String
        /// The first release that does not keep the destination's TTL without a record of it; `nil`: all keep it.
        var keepsUntil: SourceVersion?
        var keepsUntold = false

        init(_ name: String, _ setUp: String, _ command: String, keepsUntold: Bool = false) {
            (self.name, self.setUp, self.command, self.keepsUntold) = (name, setUp, command, keepsUntold)
            let isKept = command.hasPrefix("PFMERGE") || command.hasPrefix("BITOP")
            if keepsUntold, !isKept { keepsUntil = SourceVersion(1, 37, 0) }
        }

        func keepsUntold(on version: SourceVersion) -> Bool {
            keepsUntold && keepsUntil.map { version < $0 } ?? true
        }
    }

    private static let sources = [
        "PFADD ha 1 2", "PFADD hb 3 4", "PFADD hc 5", "SADD sa 1 2 3", "SADD sb 2 3 4", "SADD sc 3 4 9",
        "ZADD za 1 a 2 b", "ZADD zb 3 b 4 c", "SET ba foobar", "SET bb abcdef", "RPUSH la 3 1 2",
        "GEOADD ga 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "RPUSH many a b c d e f g h i j",
        "SADD members 1 2 3 4 5 6 7 8 9",
    ]

    /// `%d` is the destination, `%n` its number.
    private static let cases = [
        Case("pfmerge", "PFADD %d 9", "PFMERGE %d ha hb hc", keepsUntold: true),
        Case("sunion", "SADD %d 9", "SUNIONSTORE %d sa sb", keepsUntold: true),
        Case("sinter", "SADD %d 9", "SINTERSTORE %d sa sb sc", keepsUntold: true),
        Case("sdiff", "SADD %d 9", "SDIFFSTORE %d sa sb", keepsUntold: true),
        Case("sunion-string", "SET %d 9", "SUNIONSTORE %d sa sb", keepsUntold: true),
        Case("sinter-empty", "SADD %d 9", "SINTERSTORE %d sa none"),
        Case("zunion", "ZADD %d 9 x", "ZUNIONSTORE %d 2 za zb", keepsUntold: true),
        Case("zinter", "ZADD %d 9 x", "ZINTERSTORE %d 2 za zb", keepsUntold: true),
        Case("zdiff", "ZADD %d 9 x", "ZDIFFSTORE %d 2 za zb", keepsUntold: true),
        Case("zrange", "ZADD %d 9 x", "ZRANGESTORE %d za 0 -1", keepsUntold: true),
        Case("bitop", "SET %d 9", "BITOP AND %d ba bb", keepsUntold: true),
        Case("bitop-not", "SET %d 9", "BITOP NOT %d ba", keepsUntold: true),
        Case("sort", "RPUSH %d 9", "SORT la STORE %d"),
        Case("georadius", "ZADD %d 9 x", "GEORADIUS ga 15 37 200 km STORE %d", keepsUntold: true),
        Case("copy", "SET %d 9", "COPY ba %d REPLACE"),
        Case("rename", "SET %d 9", "RENAME from:%n %d"), Case("renamenx", "SET %d 9", "RENAMENX from:%n %d"),
        Case("getex", "SET %d 9", "GETEX %d"), Case("getex-persist", "SET %d 9", "GETEX %d PERSIST"),
        Case("set", "SET %d 9", "SET %d x"), Case("set-get", "SET %d 9", "SET %d x GET"),
        Case("set-keepttl", "SET %d 9", "SET %d x KEEPTTL"), Case("set-xx", "SET %d 9", "SET %d x XX"),
        Case("getset", "SET %d 9", "GETSET %d x"), Case("mset", "SET %d 9", "MSET %d x other:%n y"),
        Case("setrange", "SET %d 9", "SETRANGE %d 3 abc"), Case("append", "SET %d 9", "APPEND %d x"),
        Case("incr", "SET %d 9", "INCR %d"), Case("incrbyfloat", "SET %d 9", "INCRBYFLOAT %d 0.5"),
        Case("setbit", "SET %d 9", "SETBIT %d 9 1"), Case("bitfield", "SET %d 9", "BITFIELD %d SET u8 0 3"),
        Case("smove", "SADD %d x", "SMOVE members %d %n"), Case("lmove", "RPUSH %d 9", "LMOVE many %d LEFT RIGHT"),
        Case("rpoplpush", "RPUSH %d 9", "RPOPLPUSH many %d"), Case("pfadd", "PFADD %d 9", "PFADD %d 10"),
        Case("hincrby", "HSET %d f 1", "HINCRBY %d f 1"), Case("xadd", "XADD %d * f 1", "XADD %d * f 2"),
        Case("spop", "SADD %d 8 9", "SPOP %d"), Case("zincrby", "ZADD %d 9 x", "ZINCRBY %d 1 x"),
    ]

    private static let destinations = 4

    private static func destination(_ name: String, _ number: Int, _ life: String) -> String {
        "\(life):\(name):\(number)"
    }

    /// Runs every case on destinations that have `milliseconds` to live.
    private func run(on source: RESPClient, life: String, milliseconds: Int) throws {
        for test in Self.cases {
            for number in 1...Self.destinations {
                let key = Self.destination(test.name, number, life)
                try source.command("SET", "from:\(number)", "v")
                for line in [test.setUp, "PEXPIRE %d \(milliseconds)", test.command] {
                    let line = line.replacingOccurrences(of: "%d", with: key)
                    try source.command(
                        line.replacingOccurrences(of: "%n", with: "\(number)").components(separatedBy: " "))
                }
            }
        }
    }

    @Test(arguments: [1, 4]) func `give the same keys and TTLs at the target, but for TTLs that the journal lacks`(
        _ shards: Int
    ) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        let daemon = try Daemon(
            .replicate,
            .init(
                source: master.port, target: redis.port,
                // No refreshes: this checks what the stream alone brings.
                sections: ["shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: 0"]]))
        defer {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        try daemon.wait(forLine: "stable: following")
        for line in Self.sources { try source.command(line.components(separatedBy: " ")) }
        try run(on: source, life: "long", milliseconds: 100_000_000)
        try run(on: source, life: "short", milliseconds: 2000)

        // Over several shards these come in pieces that nobody can run, and are reported.
        func isFragmented(_ key: String) -> Bool {
            daemon.deadLetters.contains { $0.kind.hasPrefix("fragmented") && $0.key == key }
        }
        func differing() throws -> [String] {
            let differences = try ServerComparison(source: source, target: target).differences
            return differences.map { "\(String(decoding: $0.key, as: UTF8.self))" }.filter { !isFragmented($0) }
        }
        try wait(until: "nothing at the source is about to expire") {
            let keys = try source.command("KEYS", "short:*").array ?? []
            return try keys.allSatisfy { try source.command("PTTL", $0.text ?? "").int ?? 0 < 0 }
        }
        try wait(until: "the short-lived are the same") { try differing().allSatisfy { !$0.hasPrefix("short:") } }
        #expect(try source.command("EXISTS", "short:pfmerge:1", "short:bitop:1").int == 0)
        #expect(try source.command("EXISTS", "short:copy:1", "short:set:1").int == 2)

        try daemon.leave()
        let version = try #require(SourceVersion(try source.info("server", "dragonfly_version") ?? ""))
        let untold = Self.cases.filter { $0.keepsUntold(on: version) }.flatMap { test in
            (1...Self.destinations).map { Self.destination(test.name, $0, "long") }
        }
        #expect(Set(try differing()) == Set(untold.filter { !isFragmented($0) }))
        // A BITOP arrives as a SET and looks like one.
        let told = Set(daemon.deadLetters.filter { $0.kind.hasPrefix("stored-") }.map(\.key))
        #expect(
            untold.filter { $0.contains("merge") || $0.contains(":s") || $0.contains(":z") }.allSatisfy(told.contains))
        #expect(!told.contains { $0.contains("set") || $0.contains("incr") })
    }
}

/// PFMERGE leaves copies of its destination in the shards of its sources.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Hidden copies that PFMERGE leaves in a real Dragonfly` {
    private static let shards = 4

    private func merge(_ client: RESPClient, rounds: Range<Int>) throws {
        var commands: [[String]] = []
        for round in rounds {
            let key = "hm:\(round % 40)"
            commands += [
                ["PFMERGE", key, "hll:0", "hll:1", "hll:2", "hll:3", "hll:4", "hll:5"],
                round % 3 == 0 ? ["DEL", key] : ["PFADD", key, "\(round)"], ["PFADD", "hll:\(round % 6)", "\(round)"],
            ]
        }
        _ = try client.pipeline(commands.map { $0.map { Array($0.utf8) } })
    }

    @Test func `do not reach the target, neither from the snapshot nor from the journal`() throws {
        let master = try DragonflyServer(shards: Self.shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        for index in 0..<200 { try source.command("SET", "k:\(index)", "v") }
        for index in 0..<6 { try source.command("PFADD", "hll:\(index)", "x") }
        try merge(source, rounds: 0..<400)
        let names = (try source.command("KEYS", "hm:*").array ?? []).count
        let visible = try source.command((["EXISTS"] + (0..<40).map { "hm:\($0)" })).int ?? 0
        #expect(names > visible, "there are copies")

        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        try waitUntilEqual(source, target)
        try merge(source, rounds: 400..<2400)
        try waitUntilEqual(source, target)
        try daemon.leave()
        #expect(daemon.logs("PFMERGE has left it in a shard that does not own the key"))
        try waitUntilEqual(source, target, timeout: .zero)
    }
}
