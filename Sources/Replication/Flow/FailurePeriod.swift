/// Reports a recurring failure only twice: when it begins, and when it has not recurred for a while.
struct FailurePeriod {
    enum Change { case begun, over }

    /// The time without a failure that ends the period.
    static let quietTime = Duration.seconds(60)

    private var last: ContinuousClock.Instant?

    mutating func note(hasFailed: Bool, at now: ContinuousClock.Instant) -> Change? {
        if hasFailed {
            defer { last = now }
            return last == nil ? .begun : nil
        }
        guard let last, last.duration(to: now) >= Self.quietTime else { return nil }
        self.last = nil
        return .over
    }
}
