import Base
import Foundation

/// A steady load of commands that are not idempotent: a command that is applied twice or not at all shows at the end.
///
/// The load is so slow that the records which a master keeps for partial syncs (8,192 per shard) outlast each of the
/// torture's faults: an unexpected full sync is always a defect.
package final class TortureLoad {
    private let threads: [LoadThread]

    /// - Parameters:
    ///   - commandsPerSecond: the rate over all connections.
    ///   - otherDatabase: a database that gets one in ten batches and is sometimes emptied.
    ///   - writesIncompletelyJournaled: whether commands that a journal records incompletely are written, too.
    package init(
        port: UInt16, connections: Int = 2, commandsPerSecond: Int, otherDatabase: Int? = 5,
        writesIncompletelyJournaled: Bool = false, seed: UInt64
    ) throws {
        threads = try (0..<connections).map { index in
            try LoadThread(
                port: port, rate: max(commandsPerSecond / connections, 1), otherDatabase: otherDatabase,
                generator: TortureGenerator(
                    seed: seed &+ UInt64(index) &* 0x9E37_79B9, writesIncompletelyJournaled: writesIncompletelyJournaled
                ))
        }
        for thread in threads { thread.start() }
    }

    package var commandCount: Int { threads.reduce(0) { $0 + $1.count } }
    /// The longest waits of each connection.
    var longestWaits: [Wait] { threads.flatMap(\.longestWaits) }

    /// The wait of a small pipeline for its replies.
    struct Wait {
        var start: ContinuousClock.Instant
        var duration: Duration
    }

    /// Ends the writing and waits for the last replies.
    package func stop() throws {
        for thread in threads { thread.end() }
        for thread in threads { try thread.join() }
    }
}

/// Generates the commands of `TortureLoad`.
struct TortureGenerator {
    private var random: SplitMix64

    private let writesIncompletelyJournaled: Bool

    init(seed: UInt64, writesIncompletelyJournaled: Bool = false) {
        random = SplitMix64(seed: seed)
        self.writesIncompletelyJournaled = writesIncompletelyJournaled
    }

    mutating func next() -> [String] {
        if writesIncompletelyJournaled, number(0...9) == 0 { return incompletelyJournaled() }
        switch number(0...99) {
        case 0..<14: return ["INCR", key("n")]
        case 14..<22: return ["INCRBYFLOAT", key("f"), "\(Double(number(-8...8)) / 2)"]
        case 22..<32: return ["APPEND", key("s"), "\(number(0...999))-"]
        case 32..<34: return ["SET", key("s"), ""]
        case 34..<42: return [number(0...1) == 0 ? "LPUSH" : "RPUSH", key("l"), "\(number(0...99_999))"]
        case 42..<50: return [number(0...1) == 0 ? "LPOP" : "RPOP", key("l")]
        case 50..<53: return ["RPOPLPUSH", key("l"), key("l")]
        case 53..<59: return ["XADD", key("x"), "MAXLEN", "200", "*", "f", "\(number(0...999))"]
        case 59..<65: return ["SADD", key("t"), "\(number(0...500))", "\(number(0...500))"]
        case 65..<69: return ["SPOP", key("t")]
        case 69..<76: return ["ZINCRBY", key("z"), "\(Double(number(-40...40)) / 4)", "m\(number(0...40))"]
        case 76..<78: return ["ZPOPMIN", key("z")]
        case 78..<84: return ["HINCRBY", key("h"), "f\(number(0...20))", "\(number(-9...9))"]
        case 84..<88: return ["RENAME", key("s"), key("s")]
        case 88..<93: return ["MSET"] + (0..<4).flatMap { _ in [key("m"), "\(number(0...99_999))"] }
        case 93..<96: return ["DEL", key("m"), key("l")]
        case 96..<98: return ["RENAME", key("n"), key("n")]
        default: return ["APPEND", key("s"), String(repeating: "x", count: number(1...3000))]
        }
    }

    private mutating func incompletelyJournaled() -> [String] {
        if number(0...3) == 0 { return ["XGROUP", "CREATE", key("x"), "g\(number(0...2))", "0"] }
        let families = IncompletelyJournaledCommand.families
        let family = families[number(0...families.count - 1)]
        return family.command((0..<3).map { _ in key(family.source) }, key(family.destination), number(0...9))
    }

    mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private mutating func key(_ family: String) -> String { "\(family):\(number(0...60))" }
}

/// One connection of the load.
private final class LoadThread: @unchecked Sendable {  // what both threads touch is under the lock
    private static let waitsKept = 20

    private let worker = WorkerThread()
    private let lock = NSLock()
    private var state = (count: 0, waits: [TortureLoad.Wait]())
    private let client: RESPClient
    private let rate: Int
    private let otherDatabase: Int?
    private var generator: TortureGenerator

    init(port: UInt16, rate: Int, otherDatabase: Int?, generator: TortureGenerator) throws {
        self.otherDatabase = otherDatabase
        client = try RESPClient(port: port, timeout: .seconds(60))
        self.rate = rate
        self.generator = generator
    }

    var count: Int { lock.withLock { state.count } }
    var longestWaits: [TortureLoad.Wait] { lock.withLock { state.waits } }

    func start() { worker.start { try self.run() } }
    func end() { worker.end() }
    func join() throws { try worker.join() }

    private func run() throws {
        let start = ContinuousClock.now
        var (sent, skipped, database) = (0, 0, 0)
        while !worker.isEnding {
            let due = Int(start.duration(to: .now).seconds * Double(rate)) - skipped
            // Commands that were due while the source did not answer are skipped.
            if due - sent > rate { skipped += due - sent - rate / 10 }
            guard due > sent else {
                blockThread(for: .milliseconds(2))
                continue
            }
            var batch = (0..<min(due - sent, 20)).map { _ in generator.next() }
            sent += batch.count
            // The other database is sometimes emptied; database 0 never is, so that no mistake is lost.
            let wanted = generator.number(0...9) == 0 ? otherDatabase ?? 0 : 0
            if wanted != database { batch.insert(["SELECT", "\(wanted)"], at: 0) }
            database = wanted
            if database != 0, generator.number(0...rate / 4) == 0 { batch.append(["FLUSHDB"]) }
            let before = ContinuousClock.now
            _ = try client.pipeline(batch.map { $0.map { Array($0.utf8) } })
            note(batch.count, TortureLoad.Wait(start: before, duration: before.duration(to: .now)))
        }
    }

    private func note(_ commands: Int, _ wait: TortureLoad.Wait) {
        lock.withLock {
            state.count += commands
            if state.waits.count == Self.waitsKept, let least = state.waits.last, least.duration >= wait.duration {
                return
            }
            state.waits.append(wait)
            state.waits.sort { $0.duration > $1.duration }
            state.waits = Array(state.waits.prefix(Self.waitsKept))
        }
    }
}
