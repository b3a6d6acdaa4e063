import Dashboard

/// Detects that keys wait to be read at the source but none gets done, and holds the reason that the task's readiness
/// gives.
struct RefreshStandstill {
    /// How long no key gets done before the task is asked for the reason, and before it is asked again.
    private static let patience = Duration.seconds(5)

    private(set) var reason: String?
    private var waiting = 0
    private var since: ContinuousClock.Instant
    private var reportedCodes: Set<Health.Code?> = []
    private var newReason: String?

    init(at now: ContinuousClock.Instant) { since = now }

    /// Notes how many keys wait now.
    ///
    /// - Returns: whether the task is to be asked for the reason.
    mutating func needsReason(waiting: Int, at now: ContinuousClock.Instant) -> Bool {
        if waiting != self.waiting { (self.waiting, since, reason) = (waiting, now, nil) }
        return waiting > 0 && since.duration(to: now) >= Self.patience
    }

    mutating func explain(by readiness: HealthDocument, at now: ContinuousClock.Instant) {
        since = now
        let text = readiness.reason ?? "no key has been read for some seconds: see the task's log"
        reason = text
        // Compare codes: the text of a reason may contain figures that change all the time.
        if reportedCodes.insert(readiness.code).inserted { newReason = text }
    }

    /// - Returns: a reason that the operator has not been given yet.
    mutating func takeNewReason() -> String? {
        defer { newReason = nil }
        return newReason
    }
}
