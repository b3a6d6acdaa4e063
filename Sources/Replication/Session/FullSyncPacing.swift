/// Spaces out full syncs of which none lasts: a target that is emptied again and again, or takes less than the source
/// sends, must not cost the source a snapshot every few seconds.
struct FullSyncPacing {
    /// A session that has followed the source for so long has been worth its full sync.
    static let lastingTime = Duration.seconds(60)
    private static let waits = RetryPolicy(initial: .seconds(1), maximum: .seconds(300))

    /// Full syncs in a row that did not last.
    private(set) var failures = 0
    /// No full sync begins before.
    private(set) var earliest: ContinuousClock.Instant?

    /// A session has ended that was to last.
    ///
    /// - Parameter stableTime: how long it has followed the source; `nil`: it did not get so far.
    mutating func sessionEnded(wasFullSync: Bool, stableTime: Duration?, at now: ContinuousClock.Instant = .now) {
        if let stableTime, stableTime >= Self.lastingTime {
            self = FullSyncPacing()
        } else if wasFullSync {
            failures += 1
            earliest = now + Self.waits.wait(before: failures)
        }
    }

    /// How long a full sync has still to wait; `nil`: not at all.
    func wait(at now: ContinuousClock.Instant = .now) -> Duration? {
        guard let earliest, earliest > now else { return nil }
        return now.duration(to: earliest)
    }
}
