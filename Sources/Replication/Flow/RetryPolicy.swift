/// The wait before another attempt: it doubles each time up to a limit, and has jitter.
package struct RetryPolicy: Equatable, Sendable {
    package var initial: Duration
    package var maximum: Duration

    package init(initial: Duration = .milliseconds(200), maximum: Duration = .seconds(10)) {
        self.initial = initial
        self.maximum = maximum
    }

    /// Returns the wait before attempt number `attempt` (from 1): a random part of the full length, at least half of it.
    package func wait(before attempt: Int) -> Duration {
        var length = initial
        for _ in 1..<max(attempt, 1) where length < maximum { length = length * 2 }
        return min(length, maximum) * Double.random(in: 0.5...1)
    }
}
