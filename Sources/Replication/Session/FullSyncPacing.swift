/// Spaces out full syncs if none of them is followed by some time of replication. A target that is emptied again and again,
/// or that takes less than the source sends, must not cost the source a snapshot every few seconds.
struct FullSyncPacing {
    /// A full sync has lasted if the session stayed stable at least this long.
    static let lastingTime = Duration.seconds(60)
    private static let waits = RetryPolicy(initial: .seconds(1), maximum: .seconds(300))

    /// Full syncs in a row that did not last.
    private(set) var failures = 0
    /// The time before which no full sync may begin.
    private(set) var earliest: ContinuousClock.Instant?

    /// Records that a session has ended which was not meant to end.
    ///
    /// - Parameter stableTime: how long the session was stable; `nil` if it never was.
    mutating func sessionEnded(wasFullSync: Bool, stableTime: Duration?, at now: ContinuousClock.Instant = .now) {
        if let stableTime, stableTime >= Self.lastingTime {
            self = FullSyncPacing()
        } else if wasFullSync {
            failures += 1
            earliest = now + Self.waits.wait(before: failures)
        }
    }

    /// Why the next full sync has to wait.
    var reason: String {
        let which = failures == 1 ? "the last full sync was" : "the last \(failures) full syncs were"
        return "\(which) not followed by a minute of replication"
    }

    /// The time until the next full sync may begin; `nil` if it may begin now.
    func wait(at now: ContinuousClock.Instant = .now) -> Duration? {
        guard let earliest, earliest > now else { return nil }
        return now.duration(to: earliest)
    }
}
