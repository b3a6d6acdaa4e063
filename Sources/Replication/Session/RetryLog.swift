/// Decides which failed attempts are worth a warning: the first, one that fails for another reason, and one a minute. A peer may
/// be down for days.
struct RetryLog {
    static let interval = Duration.seconds(60)

    /// The last warning.
    private var last: (text: String, time: ContinuousClock.Instant)?

    /// - Parameters:
    ///   - attempt: its number since the last sync, from 1.
    ///   - text: why the last session, or the attempt before, has failed.
    mutating func isWarning(attempt: Int, _ text: String, at now: ContinuousClock.Instant = .now) -> Bool {
        if attempt > 1, let last, last.text == text, last.time.duration(to: now) < Self.interval { return false }
        last = (text, now)
        return true
    }
}
