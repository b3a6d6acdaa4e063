import Foundation
import Lab
import Testing
import Wire

/// Keys whose journal records of a real Dragonfly are incomplete are read at the source.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Keys whose journal records are incomplete` {
    private static let sources = [
        "PFADD ha 1 2", "PFADD hb 3 4", "PFADD hc 5", "SADD sa 1 2 3", "SADD sb 2 3 4",
        "ZADD za 1.123456789 a 22.123456789 b", "ZADD zb 3 b 123456789.123 c", "RPUSH la 3 1 2",
        "GEOADD ga 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        "XADD xa 1-1 f v", "XADD xa 2-1 f v", "XADD xa 3-1 f v", "XGROUP CREATE xa g 0",
    ]

    /// Commands with a destination `%d`, whose records say less than what they do.
    private static let commands = [
        "SORT la STORE %d", "GEORADIUS ga 15 37 200 km STORE %d", "ZUNIONSTORE %d 2 za zb", "ZINTERSTORE %d 2 za zb",
        "ZRANGESTORE %d za 0 -1", "SUNIONSTORE %d sa sb", "SINTERSTORE %d sa sb", "PFMERGE %d ha hb hc",
    ]
    private static let destinations = 12

    private func isDone(_ daemon: Daemon) -> Bool {
        guard let figures = daemon.status?["refreshes"] as? [String: Any] else { return false }
        return figures["waiting"] as? Int == 0 && figures["refreshed"] as? Int ?? 0 > 0
    }

    @Test func `are equal on both sides once writes stop, without a full sync`() throws {
        let master = try DragonflyServer(shards: 4)
        let redis = try RedisServer()
        let daemon = try Daemon(
            .replicate,
            .init(
                source: master.port, target: redis.port,
                sections: ["shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: 1000"]]))
        defer {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        try daemon.wait(forLine: "stable: following")
        for line in Self.sources { try source.command(line.components(separatedBy: " ")) }
        let writer = try RandomWriter(port: master.port, seed: printedSeed())
        for (index, line) in Self.commands.enumerated() {
            for number in 1...Self.destinations {
                let key = "to:\(index):\(number)"
                let older = line.hasPrefix("PFMERGE") ? ["PFADD", key, "9"] : ["SET", key, "older"]
                try source.command(older)
                try source.command("PEXPIRE", key, "100000000")
                try source.command(line.replacingOccurrences(of: "%d", with: key).components(separatedBy: " "))
            }
        }
        for number in 1...Self.destinations {
            try source.command("XADD", "stream:\(number)", "1-1", "f", "v")
            try source.command("XGROUP", "CREATE", "stream:\(number)", "g", "0")
            try source.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "stream:\(number)", ">")
            try source.command("XACK", "stream:\(number)", "g", "7-7")
        }
        try wait(until: "others have written meanwhile") { writer.commandCount > 20_000 }
        try writer.stop()

        func differences() throws -> [Difference] {
            guard daemon.process.isRunning else {
                throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
            }
            return try ServerComparison(source: source, target: target).differences
        }
        try wait(until: "all that was asked for is done", timeout: .seconds(60)) { isDone(daemon) }
        try wait(until: "both sides are equal", timeout: .seconds(60)) { try differences().isEmpty }
        print(daemon.status?["refreshes"] ?? "none")
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        try daemon.leave()
        #expect(try ServerComparison(source: source, target: target).differences == [])
    }

    @Test func `are equal after renames, and unsupported values leave no older value in their place`()
        throws
    {
        // With one shard a RENAME is journaled as such.
        let scene = try RealMasterScene(
            shards: 1, verify: 0, refresh: 20,
            sections: ["policy": ["onUnsupported: skip"], "shutdown": ["drainSeconds: 20"]])
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "stable: following")
        func send(_ lines: String...) throws {
            for line in lines { try source.command(line.components(separatedBy: " ")) }
        }
        try send("ZADD scores 1.123456789 a 22.123456789 b", "SADD members a b")
        for number in 1...30 {
            let key = "tmp:\(number)"
            try send("SADD \(key) old", "EXPIRE \(key) 5000", "SUNIONSTORE \(key) members")
            try send(number % 2 == 0 ? "RENAME \(key) to:\(number)" : "RENAMENX \(key) to:\(number)")
            try send("ZUNIONSTORE \(key) 1 scores", "RENAME \(key) by:\(number)", "RENAME by:\(number) board:\(number)")
            try send("ZUNIONSTORE moved:\(number) 1 scores", "MOVE moved:\(number) 3")
        }
        try send("XADD x 1-1 f v", "XADD x 2-1 f v", "XGROUP CREATE x g 0")
        try send("SET older v", "BF.ADD bloom e", "RENAME bloom older")
        for number in 1...10 { try send("BITFIELD bits:\(number) OVERFLOW SAT INCRBY u8 0 -\(number)") }
        try wait(until: "all that was asked for is done", timeout: .seconds(60)) { isDone(daemon) }
        // From here on nobody reads the stream before the task leaves.
        try send("XREADGROUP GROUP g c STREAMS x >", "RENAME x y", "MOVE y 3")
        try wait(until: "the stream is where it is at the source") {
            try target.command("SELECT", "3")
            defer { _ = try? target.command("SELECT", "0") }
            return try target.command("EXISTS", "y").int == 1
        }
        try wait(until: "nothing older is left") { try target.command("EXISTS", "older").int == 0 }
        #expect(daemon.deadLetters.contains(DeadLetter(kind: "bloom-filter", database: 0, key: "older")))
        try send("DEL older")
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        try daemon.leave()
        #expect(try ServerComparison(source: source, target: target).differences == [])
    }

    @Test func `are found by comparing both sides if the records look complete`() throws {
        let scene = try RealMasterScene(shards: 4, verify: 10_000)
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "stable: following")
        let commands = [
            "SET ba foobar", "SET bb abcdef", "SET stays v", "XADD xa 1-1 f v", "XADD xa 2-1 f v",
            "XGROUP CREATE xa g 0",
        ]
        for line in commands { try source.command(line.components(separatedBy: " ")) }
        for number in 1...12 {
            try source.command("SET", "bitop:\(number)", "older", "PX", "100000000")
            try source.command("BITOP", "AND", "bitop:\(number)", "ba", "bb")
            try source.command(["RPUSH", "list:\(number)"] + (1...20).map(String.init))
            try source.command("LMPOP", "1", "list:\(number)", "LEFT", "COUNT", "5")
            try source.command("SET", "past:\(number)", "v")
            try source.command("SET", "past:\(number)", "v", "PXAT", "1000")
        }
        try source.command("XREADGROUP", "GROUP", "g", "c", "STREAMS", "xa", ">")
        // Somebody else writes to the target.
        try wait(until: "the target follows") { try target.command("EXISTS", "list:12").int == 1 }
        try target.command("SET", "stays", "by a stranger")
        try target.command("SET", "a stranger's", "v")
        try target.command("DEL", "ba")

        try wait(until: "both sides are equal", timeout: .seconds(90)) { try scene.differences().isEmpty }
        print(daemon.status?["verify"] ?? "none", daemon.status?["refreshes"] ?? "none")
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        try daemon.leave()
        #expect(try ServerComparison(source: source, target: target).differences == [])
    }

    /// Commands that the source refuses and journals nevertheless, or whose numbers no Redis accepts.
    private static let refused = [
        "SET %k v;ZPOPMIN %k", "SET %k v;ZPOPMAX %k 2", "RPUSH %k b a;SORT %k STORE %k",
        "SET %k v;GEORADIUS %k 0 0 1 km STORE %k", "ZADD %k inf a;ZINCRBY %k -inf a",
        "ZADD %k inf a;ZADD %k INCR -inf a",
        "SET %k v;XSETID %k 5-5", "SET %k v;FIELDEXPIRE %k 10 f", "SET %k 1;INCRBY %k +5;INCRBY %k 007",
        "RPUSH %k a b;LTRIM %k 0 -0", "ZADD %k 1 a;ZINCRBY %k 1e-400 a", "SET %k v;SETRANGE %k +3 w",
        // v1.36.0 keeps a list without elements.
        "RPUSH %k:empty 1 2;SORT %k:empty LIMIT 5 5 STORE %k:empty",
        "SET %k:d keep;SORT %k STORE %k:d;SET %k:e keep;GEORADIUS %k 0 0 1 km STORE %k:e",
        "RPUSH %k 3 1 2;SORT %k DESC STORE %k:a;SORT %k DESC STORE %k:b;SORT %k STORE %k:c DESC;SORT %k LIMIT 0 2 STORE %k:d",
    ]

    @Test func `do not end the task if the source refused the command or only it accepts the number`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 0)
        defer { scene.end() }
        try scene.daemon.wait(forLine: "stable: following")
        for (index, lines) in Self.refused.enumerated() {
            for line in lines.replacingOccurrences(of: "%k", with: "k:\(index)").components(separatedBy: ";") {
                // The source answers some of them with an error.
                _ = try? scene.source.command(line.components(separatedBy: " "))
            }
        }
        try scene.source.command("SET", "last", "v")
        try wait(until: "the target follows") { try scene.target.command("EXISTS", "last").int == 1 }
        try wait(until: "both sides are equal", timeout: .seconds(60)) {
            try scene.differences().filter { !String(decoding: $0.key, as: UTF8.self).hasSuffix(":empty") }.isEmpty
        }
        try wait(until: "a list without elements is no key") {
            try scene.target.command("KEYS", "*:empty").array?.isEmpty == true
        }
        #expect(scene.daemon.status?["fullSyncs"] as? Int == 1)
        try scene.daemon.leave()
    }

    @Test func `are equal even if they are renamed before the target refuses their command`() throws {
        // With one shard a RENAME is journaled as such.
        let scene = try RealMasterScene(shards: 1, verify: 0)
        defer { scene.end() }
        let daemon = scene.daemon
        try daemon.wait(forLine: "stable: following")
        // In one batch with the command that is refused, and in the next ones.
        for round in 1...50 {
            let lines = [
                "RPUSH l:\(round) a b c", "LTRIM l:\(round) 0 -0", "RENAME l:\(round) list:\(round)",
                "SET n:\(round) 5", "INCRBY n:\(round) +5", "RENAMENX n:\(round) m:\(round)",
                "RENAME m:\(round) o:\(round)", "SET p:\(round) 5", "INCRBY p:\(round) +5", "MOVE p:\(round) 3",
            ]
            _ = try scene.source.pipeline(lines.map { $0.components(separatedBy: " ").map { Array($0.utf8) } })
        }
        try scene.source.command("SET", "last", "v")
        try wait(until: "the target follows") { try scene.target.command("EXISTS", "last").int == 1 }
        try wait(until: "both sides are equal", timeout: .seconds(60)) { try scene.differences().isEmpty }
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        try daemon.leave()
    }

    @Test func `and a few keys deleted at the target come back without a full sync`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 1000) { source in
            for number in 0..<500 { try source.command("SET", "key:\(number)", "v") }
        }
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "both sides have been compared")
        for number in 0..<5 { try target.command("DEL", "key:\(number)") }
        try waitUntilEqual(source, target)
        // Longer than it takes to be sure that keys are missing.
        for number in 5..<10 { try target.command("DEL", "key:\(number)") }
        try waitUntilEqual(source, target)
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        // If most keys are missing, a full sync follows.
        try target.command(["DEL"] + (0..<400).map { "key:\($0)" })
        try daemon.wait(forLine: "a full sync is needed")
        try waitUntilEqual(source, target)
        try daemon.leave()
    }

    @Test func `wait until the user may read them, even through a kill`() throws {
        let master = try DragonflyServer(shards: 4)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        try source.command("ACL", "SETUSER", "few", "ON", ">pw", "+DFLY", "+REPLCONF", "+PING", "+TIME", "+INFO")
        let configuration = Daemon.Configuration(
            source: master.port, target: redis.port,
            sections: ["shutdown": ["drainSeconds: 0"], "source": ["username: few", "password: pw"]])
        var daemon = try Daemon(.replicate, configuration)
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        try source.command("ZADD", "za", "1.123456789", "a")
        try source.command("ZADD", "zb", "22.123456789", "b")
        for number in 1...100 { try source.command("ZUNIONSTORE", "to:\(number)", "2", "za", "zb") }
        try daemon.wait(forLine: "until its user has +DUMP +PEXPIRETIME +SELECT +MEMORY ~*")
        try wait(until: "all are applied and asked for") {
            try target.command("EXISTS", "to:100").int == 1
                && (daemon.status?["refreshes"] as? [String: Any])?["waiting"] as? Int == 100
        }
        let folder = daemon.folder
        daemon.process.kill()

        try source.command("ACL", "SETUSER", "few", "+DUMP", "+PEXPIRETIME", "+SELECT", "+MEMORY", "~*")
        daemon = try Daemon(.replicate, configuration, folder: folder)
        try wait(until: "both sides are equal") {
            try ServerComparison(source: source, target: target).differences.isEmpty
        }
        try daemon.leave()
        #expect(daemon.logs("resuming at the checkpoint"))
    }
}
