import Base
import Wire

/// Generates random write commands of every family; the same seed gives the same commands.
package struct CommandGenerator {
    private var random: SplitMix64
    private let keys: Int
    private let databases: [Int]
    private let prefix: String
    private let flushes: Bool
    /// Generates MOVE, too. During a full sync, a replica cannot know whether a MOVE moved anything.
    package var movesKeys = false
    /// Generates commands that the journal records incompletely, too (`IncompletelyJournaledCommand`).
    package var writesIncompletelyJournaled = false
    private var lastID = 1000

    /// - Parameters:
    ///   - prefix: the prefix of all keys.
    ///   - flushes: whether a database is sometimes emptied.
    package init(seed: UInt64, keys: Int, databases: [Int] = [0, 3], prefix: String = "", flushes: Bool = true) {
        random = SplitMix64(seed: seed)
        self.flushes = flushes
        self.prefix = prefix
        self.keys = keys
        self.databases = databases
    }

    /// Returns a few commands to send together, sometimes as one transaction.
    package mutating func nextBatch() -> [[[UInt8]]] {
        let commands = (0..<number(1...16)).map { _ in next() }
        guard number(0...9) == 0 else { return commands }
        return [bytes(["MULTI"])] + commands + [bytes(["EXEC"])]
    }

    /// Returns one command.
    package mutating func next() -> [[UInt8]] {
        if writesIncompletelyJournaled, number(0...7) == 0 { return incompletelyJournaled() }
        return switch number(0...9) {
        case 0...2: string()
        case 3: list()
        case 4: set()
        case 5: hash()
        case 6: sortedSet()
        case 7: stream()
        case 8: expiry()
        default: keyspace()
        }
    }

    // MARK: Families

    private mutating func string() -> [[UInt8]] {
        let key = key("s")
        switch number(0...25) {
        case 0...2: return [bytes("SET"), bytes(key), value()]
        case 3: return bytes(["INCR", self.key("n")])
        case 4: return bytes(["DECRBY", self.key("n"), "\(number(0...1000))"])
        case 5: return [bytes("APPEND"), bytes(key), value(limit: 20)]
        case 6: return [bytes("SETRANGE"), bytes(key), bytes("\(number(0...50))"), value(limit: 20)]
        case 7: return [bytes("GETSET"), bytes(key), value()]
        case 8: return bytes(["SETEX", key, "\(number(10_000...90_000))", "v"])
        case 9: return bytes(["SETNX", key, "v"])
        case 10: return bytes(["MSET"] + (0..<number(1...5)).flatMap { _ in [self.key("s"), "\(number(0...99))"] })
        case 11: return bytes(["SETBIT", self.key("bits"), "\(number(0...999))", "\(number(0...1))"])
        case 12: return bytes(["BITFIELD", self.key("bits"), "SET", "u8", "\(number(0...99))", "\(number(0...255))"])
        case 13: return bytes(["SET", key, "\(number(0...99))", ["NX", "XX", "KEEPTTL", "GET"][number(0...3)]])
        case 14: return bytes(["SET", key, "v", "PXAT", "\(2_019_686_400_000 + number(0...100_000))"])
        case 15: return bytes(["SET", self.key("e"), "v", "PX", "\(number(20...2000))"])
        case 16...18: return bytes(["INCRBYFLOAT", self.key("f"), float()])
        case 19: return bytes(["MSETNX", self.key("m"), "1", self.key("m"), "2"])
        case 20:
            return bytes([
                "BITOP", ["AND", "OR", "XOR"][number(0...2)], self.key("bo"), self.key("bits"), self.key("bits"),
            ])
        case 21: return bytes(["BITOP", "NOT", self.key("bo"), self.key("bits")])
        case 22: return bytes(["PFMERGE", self.key("hm"), self.key("hll"), self.key("hll")])
        case 23: return bytes(["GETEX", key])
        case 24: return bytes(["INCRBY", self.key("n"), "\(number(-1000...1000))"])
        default: return bytes(["PFADD", self.key("hll"), "\(number(0...9999))", "\(number(0...9999))"])
        }
    }

    private mutating func list() -> [[UInt8]] {
        let key = key("l")
        let (from, to) = (["LEFT", "RIGHT"][number(0...1)], ["LEFT", "RIGHT"][number(0...1)])
        switch number(0...20) {
        case 0...2: return [bytes("LPUSH"), bytes(key), value(limit: 60), value(limit: 60)]
        case 3...5: return [bytes("RPUSH"), bytes(key), value(limit: 60), bytes("\(number(-9...99999))")]
        case 6: return bytes(["LPOP", key])
        case 7: return bytes(["RPOP", key, "\(number(1...3))"])
        case 8: return bytes(["LSET", key, "\(number(0...5))", "\(number(0...99))"])
        case 9: return bytes(["LREM", key, "\(number(-2...2))", "\(number(0...99))"])
        case 10: return bytes(["LTRIM", key, "0", "\(number(5...200))"])
        // Never onto the same key: at the target only, a list of one element would lose its TTL in between.
        case 11...12: return bytes(["LMOVE", key, otherKey("l", than: key), from, to])
        case 13: return bytes(["RPOPLPUSH", key, otherKey("l", than: key)])
        case 14: return bytes(["LPUSHX", key, "\(number(0...99))"])
        case 15: return bytes(["RPUSHX", key, "\(number(0...99))", "x"])
        case 16: return bytes([["BLPOP", "BRPOP"][number(0...1)], key, self.key("l"), "0.01"])
        case 17: return bytes(["BLMOVE", key, otherKey("l", than: key), from, to, "0.01"])
        case 18: return bytes(["BRPOPLPUSH", key, otherKey("l", than: key), "0.01"])
        case 19: return bytes(["LMPOP", "2", key, self.key("l"), from])
        default:
            return bytes([
                "LINSERT", key, from == "LEFT" ? "BEFORE" : "AFTER", "\(number(0...99))", "\(number(0...99))",
            ])
        }
    }

    private mutating func set() -> [[UInt8]] {
        let key = key("t")
        switch number(0...10) {
        case 0...2: return bytes(["SADD", key, "\(number(-50...50))", "\(number(0...100_000))"])
        case 3...4: return [bytes("SADD"), bytes(key), value(limit: 40)]
        case 5: return bytes(["SREM", key, "\(number(-50...50))"])
        case 6: return bytes(["SPOP", key, "\(number(1...3))"])
        case 7: return bytes(["SMOVE", key, self.key("t"), "\(number(-50...50))"])
        // A destination that is overwritten keeps its TTL at the source only, so these destinations never get one.
        default:
            return bytes([
                ["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"][number(0...2)], self.key("td"), key, self.key("t"),
            ])
        }
    }

    private mutating func hash() -> [[UInt8]] {
        let key = key("h")
        let field = "f\(number(0...60))"
        switch number(0...6) {
        case 0...1: return [bytes("HSET"), bytes(key), bytes(field), value(), bytes("g"), bytes("\(number(0...99))")]
        case 2: return bytes(["HDEL", key, field])
        case 3: return bytes(["HINCRBY", key, "n\(number(0...5))", "\(number(-100...100))"])
        case 4: return bytes(["HSETNX", key, field, "x"])
        case 5: return bytes(["HINCRBYFLOAT", key, "d\(number(0...5))", float()])
        default: return bytes(["HMSET", key, field, "1", "f\(number(0...60))", "2"])
        }
    }

    private mutating func sortedSet() -> [[UInt8]] {
        let key = key("z")
        let member = "m\(number(0...80))"
        // Eighths add up exactly, so that both servers compute the same sums.
        let score = "\(Double(number(-8000...8000)) / 8)"
        switch number(0...18) {
        case 0...1: return bytes(["ZADD", key, score, member, "\(number(0...99))", "m\(number(0...80))"])
        case 2: return bytes(["ZADD", key, ["GT", "LT", "XX", "NX"][number(0...3)], "CH", score, member])
        case 3: return bytes(["ZINCRBY", key, score, member])
        case 4: return bytes(["ZREM", key, member])
        case 5: return bytes(["ZPOPMIN", key])
        case 6: return bytes(["ZPOPMAX", key, "2"])
        case 7: return bytes(["ZREMRANGEBYRANK", key, "0", "\(number(0...2))"])
        case 8: return bytes(["ZREMRANGEBYSCORE", key, "(\(number(-900...0))", "\(number(0...20))"])
        case 9: return bytes(["ZADD", key, "INCR", score, member])
        case 10: return bytes(["ZMPOP", "1", key, ["MIN", "MAX"][number(0...1)], "COUNT", "\(number(1...3))"])
        case 11: return bytes([["BZPOPMIN", "BZPOPMAX"][number(0...1)], key, "0.01"])
        case 12: return bytes(["ZADD", key, ["inf", "-inf", "1e300", "0.1"][number(0...3)], member])
        // Z*STORE rounds scores to 6 digits; the sums of these scores have fewer.
        case 13...14: return bytes(["ZADD", self.key("zi"), "\(number(-999...999))", member])
        case 15: return bytes(["ZREMRANGEBYLEX", self.key("zi"), "[m5", "(m6"])
        case 16:
            return bytes([
                ["ZUNIONSTORE", "ZINTERSTORE"][number(0...1)], self.key("zd"), "2", self.key("zi"), self.key("zi"),
            ])
        case 17: return bytes(["ZRANGESTORE", self.key("zd"), self.key("zi"), "0", "\(number(0...20))"])
        default: return bytes(["GEOADD", self.key("geo"), "\(number(-170...170)).25", "\(number(-80...80)).5", member])
        }
    }

    private mutating func stream() -> [[UInt8]] {
        let key = key("x")
        let group = "g\(number(0...2))"
        switch number(0...17) {
        case 0...2: return [bytes("XADD"), bytes(key), bytes("*"), bytes("f"), value(limit: 60)]
        case 3: return bytes(["XADD", key, "MAXLEN", "\(number(20...60))", "*", "f", "v", "g", "\(number(0...9))"])
        case 4: return bytes(["XTRIM", key, "MAXLEN", "\(number(10...50))"])
        case 5: return bytes(["XGROUP", "CREATE", key, group, "0"])
        case 6: return bytes(["XGROUP", "CREATECONSUMER", key, group, "c\(number(0...3))"])
        case 7: return bytes(["XGROUP", "DESTROY", key, group])
        // Explicit ids, so that later commands can name them.
        case 8...9: return bytes(["XADD", self.key("xi"), "\(nextID())-1", "f", "\(number(0...9999))"])
        case 10: return bytes(["XDEL", self.key("xi"), recentID(), recentID()])
        case 11: return bytes(["XGROUP", "CREATE", self.key("xi"), group, "0", "MKSTREAM"])
        case 12:
            return bytes(["XCLAIM", self.key("xi"), group, "c\(number(0...3))", "0", recentID(), "FORCE", "JUSTID"])
        case 13:
            return bytes([
                "XCLAIM", self.key("xi"), group, "c\(number(0...3))", "0", recentID(), "FORCE", "RETRYCOUNT", "4",
            ])
        case 14: return bytes(["XACK", self.key("xi"), group, recentID(), recentID()])
        case 15: return bytes(["XGROUP", "SETID", self.key("xi"), group, recentID()])
        case 16: return bytes(["XGROUP", "DELCONSUMER", self.key("xi"), group, "c\(number(0...3))"])
        default: return bytes(["XSETID", self.key("xi"), "\(nextID())-0"])
        }
    }

    /// Returns an `IncompletelyJournaledCommand` for keys of these families, some of which have TTLs.
    private mutating func incompletelyJournaled() -> [[UInt8]] {
        let families = IncompletelyJournaledCommand.families
        let family = families[number(0...families.count - 1)]
        let keys = (0..<3).map { _ in self.key(family.source) }
        return bytes(family.command(keys, self.key(family.destination), number(0...9)))
    }

    /// Returns a command that changes an expiry. It takes effect at once (-1) or too late to pass while a test runs.
    private mutating func expiry() -> [[UInt8]] {
        let key = anyKey()
        switch number(0...5) {
        case 0: return bytes(["EXPIRE", key, "\(number(10_000...90_000))"])
        case 1: return bytes(["PEXPIREAT", key, "\(2_019_686_400_000 + number(0...100_000))"])
        case 2: return bytes(["EXPIRE", key, "-1"])
        case 3: return bytes(["GETEX", self.key("s"), "EX", "\(number(10_000...90_000))"])
        case 4: return bytes(["GETEX", self.key("s"), "PERSIST"])
        default: return bytes(["PERSIST", key])
        }
    }

    private mutating func keyspace() -> [[UInt8]] {
        if number(0...1999) == 0, flushes { return bytes(["FLUSHDB"]) }
        switch number(0...11) {
        case 0...1: return bytes(["DEL", anyKey(), anyKey()])
        case 2: return bytes(["UNLINK", anyKey()])
        case 3:
            let family = anyFamily()
            return bytes([["RENAME", "RENAMENX"][number(0...1)], self.key(family), self.key(family)])
        case 4...5:
            let family = anyFamily()
            return bytes(["COPY", self.key(family), self.key(family), "REPLACE"])
        case 6: return bytes(["COPY", key("l"), key("l")])
        case 7:
            let script = "redis.call('SET', KEYS[1], ARGV[1]); redis.call('RPUSH', KEYS[2], ARGV[1]); return 1"
            return bytes(["EVAL", script, "2", key("s"), key("l"), "\(number(0...999))"])
        case 8 where movesKeys: return bytes(["MOVE", anyKey(), "\(databases[number(0...databases.count - 1)])"])
        case 9:
            let deadline = number(0...1) == 0 ? 0 : 2_019_686_400_000 + number(0...100_000)
            let head = bytes(["RESTORE", key("s"), "\(deadline)"])
            return head + [dump(of: value(limit: 60))] + bytes(["REPLACE", "ABSTTL"])
        case 10: return bytes(["DEL", key(["td", "zd", "bo", "hm", "m"][number(0...4)])])
        default: return bytes(["GETDEL", key("s")])
        }
    }

    // MARK: Parts

    private mutating func key(_ family: String) -> String { "\(prefix)\(family):\(number(0...keys - 1))" }

    private mutating func otherKey(_ family: String, than key: String) -> String {
        var other = self.key(family)
        while other == key, keys > 1 { other = self.key(family) }
        return other
    }

    /// Returns a family whose keys may have a TTL.
    private mutating func anyFamily() -> String {
        let families = ["s", "n", "f", "bits", "hll", "l", "t", "h", "z", "zi", "geo", "x", "xi"]
        return families[number(0...families.count - 1)]
    }

    private mutating func anyKey() -> String { key(anyFamily()) }

    /// Returns a number with a fraction, sometimes a very large or a very small one.
    private mutating func float() -> String {
        switch number(0...9) {
        case 0: "\(Double(number(-99...99)) * 1e19)"
        case 1: "\(Double(number(-999...999)) * 1e-12)"
        default: "\(Double(number(-100_000...100_000)) / 1000)"
        }
    }

    private mutating func nextID() -> Int {
        lastID += number(1...3)
        return lastID
    }

    private mutating func recentID() -> String { "\(max(1, lastID - number(0...200)))-1" }

    /// Returns the DUMP payload of a string.
    private func dump(of value: [UInt8]) -> [UInt8] {
        var payload = ByteBuffer()
        payload.append(0 as UInt8)
        payload.append(rdbString: value.span.bytes)
        payload.append(littleEndian: 9 as UInt16)
        var checksum = CRC64()
        checksum.update(payload.bytes)
        payload.append(littleEndian: checksum.value)
        return payload.withUnsafeBytes { Array($0) }
    }

    /// Returns up to `limit` random bytes or a short text, sometimes a long run of one byte.
    private mutating func value(limit: Int = 200) -> [UInt8] {
        switch number(0...19) {
        case 0: return [UInt8](repeating: UInt8(number(0...255)), count: number(0...20_000))
        case 1...9: return bytes("value-\(number(0...100_000))")
        default: return (0..<number(0...limit)).map { _ in UInt8(number(0...255)) }
        }
    }

    private mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
    private func bytes(_ words: [String]) -> [[UInt8]] { words.map(bytes) }
}
