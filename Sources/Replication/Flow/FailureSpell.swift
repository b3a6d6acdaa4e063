/// A failure that comes up again and again: news when it begins, and when it has not come up for a while.
struct FailureSpell {
    enum News { case begun, over }

    /// So long without a failure ends it.
    static let calm = Duration.seconds(60)

    private var last: ContinuousClock.Instant?

    mutating func note(hasFailed: Bool, at now: ContinuousClock.Instant) -> News? {
        if hasFailed {
            defer { last = now }
            return last == nil ? .begun : nil
        }
        guard let last, last.duration(to: now) >= Self.calm else { return nil }
        self.last = nil
        return .over
    }
}
