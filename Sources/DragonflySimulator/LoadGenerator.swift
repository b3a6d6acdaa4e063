import Base

/// Generates writes on a live master at a steady rate: commands of several families, most of them not idempotent.
final class LoadGenerator {
    private let writesPerSecond: Int
    private let keys: Int
    private var generator: SplitMix64
    private var last: ContinuousClock.Instant?
    private var owed = 0.0

    init(writesPerSecond: Int, seed: UInt64, keys: Int = 1000) {
        self.writesPerSecond = writesPerSecond
        self.keys = keys
        generator = SplitMix64(seed: seed)
    }

    /// Executes the writes that are due. After a time in which writers were blocked, at most 100 ms are made up for.
    func run(_ core: MasterCore) {
        let passed = last.map { core.now - $0 } ?? .zero
        last = core.now
        owed = min(owed + Double(writesPerSecond) * (passed / .seconds(1)), Double(writesPerSecond) / 10 + 1)
        while owed >= 1 {
            owed -= 1
            _ = core.executeOnStore(nextRequest(), database: 0)
            if core.areWritersBlocked { return }
        }
    }

    private func nextRequest() -> Request {
        let number = Int.random(in: 0..<keys, using: &generator)
        let value = RandomText.bytes(20, &generator)
        func request(_ name: String, _ kind: String, _ arguments: [UInt8]...) -> Request {
            Request(name: name, arguments: [Array("load:\(kind):\(number)".utf8)] + arguments)
        }
        let small = Array(String(number % 50).utf8)
        switch Int.random(in: 0..<12, using: &generator) {
        case 0, 1, 2: return request("SET", "string", value)
        case 3: return request("INCR", "counter")
        case 4: return request("APPEND", "text", Array("x".utf8))
        case 5: return request("RPUSH", "list", value)
        case 6: return request("LPOP", "list")
        case 7: return request("SADD", "set", small, value)
        case 8: return request("SPOP", "set")
        case 9: return request("HINCRBY", "hash", small, Array("1".utf8))
        case 10: return request("ZINCRBY", "zset", Array("1.5".utf8), small)
        default: return request("DEL", "string")
        }
    }
}

extension SimulatedMaster {
    /// Starts generated writes on the live key space; a rate of 0 stops them.
    package func generateLoad(writesPerSecond: Int, seed: UInt64, keys: Int = 1000) {
        withCore { core in
            core.load =
                writesPerSecond > 0 ? LoadGenerator(writesPerSecond: writesPerSecond, seed: seed, keys: keys) : nil
        }
    }
}
