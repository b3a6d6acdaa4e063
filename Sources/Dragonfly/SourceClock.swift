import Synchronization
package import Wire

/// How far the master's clock is ahead of ours. It is measured when a session begins and every few seconds after that,
/// because clocks drift and are adjusted.
package final class SourceClock: Sendable {
    static let question = ["TIME"]

    /// In milliseconds. The master reads its time somewhere during the request, so a longer request is too inaccurate.
    private static let longestRequest: Int64 = 200

    private let milliseconds = Atomic<Int64>(0)
    private let hasMeasured = Atomic<Bool>(false)

    package init() {}

    /// In milliseconds; negative if the master's clock is behind ours, and 0 until the master has reported its time.
    package var skew: Int64 { milliseconds.load(ordering: .relaxed) }

    package var isMeasured: Bool { hasMeasured.load(ordering: .relaxed) }

    /// Evaluates the master's `reply` to TIME, which came between `start` and `end`, in Unix milliseconds of our clock.
    /// Other replies are ignored.
    package func answered(_ reply: RESPValue, between start: Int64, and end: Int64) {
        guard let time = Self.parse(reply), end - start <= Self.longestRequest || !isMeasured else { return }
        milliseconds.store(time - (start + (end - start) / 2), ordering: .relaxed)
        hasMeasured.store(true, ordering: .relaxed)
    }

    /// Parses `seconds, microseconds`. Dragonfly sends integers, Redis strings.
    private static func parse(_ reply: RESPValue) -> Int64? {
        guard case .array(let parts?) = reply, parts.count == 2, let seconds = parts[0].int,
            let microseconds = parts[1].int, (0..<(1 << 40)).contains(seconds),
            (0..<1_000_000).contains(microseconds)
        else { return nil }
        return seconds * 1000 + microseconds / 1000
    }
}
