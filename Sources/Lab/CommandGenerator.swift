/// Random write commands of every family, the same for the same seed.
package struct CommandGenerator {
    private var random: SplitMix64
    private let keys: Int

    package init(seed: UInt64, keys: Int) {
        random = SplitMix64(state: seed)
        self.keys = keys
    }

    /// A handful of commands to send in one go, now and then as one transaction.
    package mutating func nextBatch() -> [[[UInt8]]] {
        let commands = (0..<number(1...16)).map { _ in next() }
        guard number(0...9) == 0 else { return commands }
        return [bytes(["MULTI"])] + commands + [bytes(["EXEC"])]
    }

    /// A command.
    package mutating func next() -> [[UInt8]] {
        switch number(0...9) {
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
        switch number(0...13) {
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
        default: return bytes(["PFADD", self.key("hll"), "\(number(0...9999))", "\(number(0...9999))"])
        }
    }

    private mutating func list() -> [[UInt8]] {
        let key = key("l")
        switch number(0...11) {
        case 0...1: return [bytes("LPUSH"), bytes(key), value(limit: 60), value(limit: 60)]
        case 2...3: return [bytes("RPUSH"), bytes(key), value(limit: 60), bytes("\(number(-9...99999))")]
        case 4: return bytes(["LPOP", key])
        case 5: return bytes(["RPOP", key, "\(number(1...3))"])
        case 6: return bytes(["LSET", key, "\(number(0...5))", "\(number(0...99))"])
        case 7: return bytes(["LREM", key, "\(number(-2...2))", "\(number(0...99))"])
        case 8: return bytes(["LTRIM", key, "0", "\(number(5...200))"])
        case 9: return bytes(["LMOVE", key, self.key("l"), "LEFT", "RIGHT"])
        case 10: return bytes(["RPOPLPUSH", key, self.key("l")])
        default: return bytes(["LINSERT", key, "BEFORE", "\(number(0...99))", "\(number(0...99))"])
        }
    }

    private mutating func set() -> [[UInt8]] {
        let key = key("t")
        switch number(0...8) {
        case 0...2: return bytes(["SADD", key, "\(number(-50...50))", "\(number(0...100_000))"])
        case 3: return [bytes("SADD"), bytes(key), value(limit: 40)]
        case 4: return bytes(["SREM", key, "\(number(-50...50))"])
        case 5: return bytes(["SPOP", key, "\(number(1...3))"])
        case 6: return bytes(["SMOVE", key, self.key("t"), "\(number(-50...50))"])
        case 7: return bytes(["SUNIONSTORE", self.key("t"), key, self.key("t")])
        default: return bytes(["SINTERSTORE", self.key("t"), key, self.key("t")])
        }
    }

    private mutating func hash() -> [[UInt8]] {
        let key = key("h")
        let field = "f\(number(0...60))"
        switch number(0...5) {
        case 0...1: return [bytes("HSET"), bytes(key), bytes(field), value(), bytes("g"), bytes("\(number(0...99))")]
        case 2: return bytes(["HDEL", key, field])
        case 3: return bytes(["HINCRBY", key, "n\(number(0...5))", "\(number(-100...100))"])
        case 4: return bytes(["HSETNX", key, field, "x"])
        default: return bytes(["HMSET", key, field, "1", "f\(number(0...60))", "2"])
        }
    }

    private mutating func sortedSet() -> [[UInt8]] {
        let key = key("z")
        let member = "m\(number(0...80))"
        // Eighths add up exactly, so that no arithmetic of the two servers can differ.
        let score = "\(Double(number(-8000...8000)) / 8)"
        switch number(0...9) {
        case 0...1: return bytes(["ZADD", key, score, member, "\(number(0...99))", "m\(number(0...80))"])
        case 2: return bytes(["ZADD", key, "GT", "CH", score, member])
        case 3: return bytes(["ZINCRBY", key, score, member])
        case 4: return bytes(["ZREM", key, member])
        case 5: return bytes(["ZPOPMIN", key])
        case 6: return bytes(["ZPOPMAX", key, "2"])
        case 7: return bytes(["ZREMRANGEBYRANK", key, "0", "\(number(0...2))"])
        case 8: return bytes(["ZREMRANGEBYSCORE", key, "(\(number(-900...0))", "\(number(0...20))"])
        default: return bytes(["GEOADD", self.key("geo"), "\(number(-170...170)).25", "\(number(-80...80)).5", member])
        }
    }

    private mutating func stream() -> [[UInt8]] {
        let key = key("x")
        switch number(0...7) {
        case 0...2: return [bytes("XADD"), bytes(key), bytes("*"), bytes("f"), value(limit: 60)]
        case 3: return bytes(["XADD", key, "MAXLEN", "\(number(20...60))", "*", "f", "v", "g", "\(number(0...9))"])
        case 4: return bytes(["XTRIM", key, "MAXLEN", "\(number(10...50))"])
        case 5: return bytes(["XGROUP", "CREATE", key, "g\(number(0...2))", "0"])
        case 6: return bytes(["XGROUP", "CREATECONSUMER", key, "g\(number(0...2))", "c\(number(0...3))"])
        default: return bytes(["XGROUP", "DESTROY", key, "g\(number(0...2))"])
        }
    }

    /// Deadlines far enough away that none passes while a test runs.
    private mutating func expiry() -> [[UInt8]] {
        let key = anyKey()
        switch number(0...4) {
        case 0: return bytes(["EXPIRE", key, "\(number(10_000...90_000))"])
        case 1: return bytes(["PEXPIREAT", key, "\(2_019_686_400_000 + number(0...100_000))"])
        case 2: return bytes(["EXPIRE", key, "-1"])
        case 3: return bytes(["GETEX", self.key("s"), "EX", "\(number(10_000...90_000))"])
        default: return bytes(["PERSIST", key])
        }
    }

    private mutating func keyspace() -> [[UInt8]] {
        switch number(0...7) {
        case 0...1: return bytes(["DEL", anyKey(), anyKey()])
        case 2: return bytes(["UNLINK", anyKey()])
        case 3: return bytes(["RENAME", key("s"), key("s")])
        case 4: return bytes(["RENAMENX", key("l"), key("l")])
        case 5: return bytes(["COPY", key("h"), key("h"), "REPLACE"])
        case 6:
            let script = "redis.call('SET', KEYS[1], ARGV[1]); redis.call('RPUSH', KEYS[2], ARGV[1]); return 1"
            return bytes(["EVAL", script, "2", key("s"), key("l"), "\(number(0...999))"])
        default: return bytes(["GETDEL", key("s")])
        }
    }

    // MARK: Parts

    private mutating func key(_ family: String) -> String { "\(family):\(number(0...keys - 1))" }

    private mutating func anyKey() -> String {
        key(["s", "n", "bits", "l", "t", "h", "z", "x"][number(0...7)])
    }

    /// Up to `limit` bytes of any value, or a short text, or now and then a long one.
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

/// Sebastiano Vigna's SplitMix64: small, and the same everywhere for the same seed.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
