import Synchronization
package import Wire

/// How far the master's clock is ahead of ours: measured when a session begins and every few seconds from then on, since
/// clocks drift and are set.
package final class SourceClock: Sendable {
    static let question = ["TIME"]

    /// Milliseconds. The master's time lies somewhere within the request: a longer one says too little.
    private static let longestRequest: Int64 = 200

    private let milliseconds = Atomic<Int64>(0)
    private let hasMeasured = Atomic<Bool>(false)

    package init() {}

    /// Milliseconds, negative when its clock is slow; 0 as long as the master has not given its time.
    package var skew: Int64 { milliseconds.load(ordering: .relaxed) }

    package var isMeasured: Bool { hasMeasured.load(ordering: .relaxed) }

    /// The master answered TIME with `reply` between `start` and `end`, which are Unix milliseconds of our clock. Other
    /// replies give nothing.
    package func answered(_ reply: RESPValue, between start: Int64, and end: Int64) {
        guard let time = Self.parse(reply), end - start <= Self.longestRequest || !isMeasured else { return }
        milliseconds.store(time - (start + (end - start) / 2), ordering: .relaxed)
        hasMeasured.store(true, ordering: .relaxed)
    }

    /// `seconds, microseconds`: integers of a Dragonfly, where a Redis sends strings.
    private static func parse(_ reply: RESPValue) -> Int64? {
        guard case .array(let parts?) = reply, parts.count == 2, let seconds = parts[0].int,
            let microseconds = parts[1].int, (0..<(1 << 40)).contains(seconds),
            (0..<1_000_000).contains(microseconds)
        else { return nil }
        return seconds * 1000 + microseconds / 1000
    }
}
