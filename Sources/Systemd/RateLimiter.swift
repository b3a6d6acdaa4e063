import Base
package import Logging

/// Holds back log records that repeat themselves, and counts them.
///
/// In each interval the first `burst` records of a kind pass. The rest is counted, and reported in one record after the
/// interval. An interval begins with the first record of its kind, and the next one with the first record after its end.
package final class RateLimiter: Sendable {
    private struct Window {
        var end: ContinuousClock.Instant
        var passed: Int
        var suppressed = 0
        /// The last record that was held back.
        var last: LogEvent?
    }

    private struct State {
        var windows: [String: Window] = [:]
        /// No window ends before this.
        var nextEnd: ContinuousClock.Instant
    }

    /// The maximum number of kinds at one time. A further kind passes unlimited, because a long log is better than a silent
    /// one.
    static let maximumKinds = 4_096

    private let burst: Int
    private let interval: Duration
    private let now: @Sendable () -> ContinuousClock.Instant
    private let state: Lock<State>

    package init(
        burst: Int = 20, interval: Duration = .seconds(30),
        now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }
    ) {
        precondition(burst > 0 && interval > .zero, "a rate limit lets something through")
        self.burst = burst
        self.interval = interval
        self.now = now
        state = Lock(State(nextEnd: now()))
    }

    /// What to log when a record arrives.
    package struct Admission: Sendable {
        /// The counts that are due, to be logged before the record.
        package let summaries: [LogEvent]
        /// Whether the record itself is to be logged; if not it has been counted.
        package let isAdmitted: Bool
    }

    /// Decides whether to log `event`, a record of `kind`.
    package func admit(_ event: LogEvent, kind: String) -> Admission {
        let now = now()
        return state.withLock { state in
            let summaries = takeDue(&state, now)
            return Admission(summaries: summaries, isAdmitted: admits(event, kind, &state, now))
        }
    }

    /// The caller has removed the windows that are over.
    private func admits(_ event: LogEvent, _ kind: String, _ state: inout State, _ now: ContinuousClock.Instant) -> Bool
    {
        guard var window = state.windows[kind] else {
            guard state.windows.count < Self.maximumKinds else { return true }
            if state.windows.isEmpty { state.nextEnd = now + interval }
            state.windows[kind] = Window(end: now + interval, passed: 1)
            return true
        }
        defer { state.windows[kind] = window }
        if window.passed < burst {
            window.passed += 1
            return true
        }
        window.suppressed += 1
        window.last = event
        return false
    }

    /// Returns the counts of the intervals that are over, as records to log. A timer calls this, so that a count is
    /// reported even if no record follows.
    package func dueSummaries() -> [LogEvent] {
        let now = now()
        return state.withLock { takeDue(&$0, now) }
    }

    /// Returns all counts so far, as records to log. Call this at the end of the process.
    package func allSummaries() -> [LogEvent] {
        state.withLock { state in take(&state) { _ in true } }
    }

    private func takeDue(_ state: inout State, _ now: ContinuousClock.Instant) -> [LogEvent] {
        state.nextEnd <= now ? take(&state) { $0.end <= now } : []
    }

    /// Removes exactly the windows for which `isDone` returns true, and returns their counts.
    private func take(_ state: inout State, where isDone: (Window) -> Bool) -> [LogEvent] {
        var summaries: [(kind: String, event: LogEvent)] = []
        for (kind, window) in state.windows where isDone(window) {
            state.windows[kind] = nil
            if let event = summary(of: window) { summaries.append((kind, event)) }
        }
        state.nextEnd = state.windows.values.map(\.end).min() ?? state.nextEnd
        return summaries.sorted { $0.kind < $1.kind }.map(\.event)
    }

    private func summary(of window: Window) -> LogEvent? {
        guard var event = window.last else { return nil }
        event.message = "\(window.suppressed) more like this within \(interval) not shown; the last: \(event.message)"
        var metadata = event.metadata ?? [:]
        metadata["suppressed"] = "\(window.suppressed)"
        event.metadata = metadata
        return event
    }
}
