/// How far a session has come.
@SessionActor
final class SyncProgress {
    private(set) var phase = Phase.connecting
    /// The opening's, until the sync has begun.
    private(set) var step = OpeningStep.claimTask
    /// The source sends a snapshot; `false` before that is known, and where it resumes.
    private(set) var isFullSync = false
    /// The session has got as far as a sync.
    private(set) var hasBegun = false
    private var stableSince: ContinuousClock.Instant?

    /// Where an error that comes up now belongs.
    var errorPhase: SessionPhase {
        switch phase {
        case .leaving: .leaving
        case .catchingUp: .catchingUp
        case _ where !hasBegun: .opening(step)
        case .stable: .stable
        case .connecting, .fullSync, .waiting: .fullSync
        }
    }

    /// For how long it has followed the source; `nil`: not yet.
    var stableTime: Duration? { stableSince?.duration(to: .now) }

    func enter(_ step: OpeningStep) { self.step = step }

    func setFullSync(_ isFullSync: Bool) { self.isFullSync = isFullSync }

    /// The flows are built, and the sync is asked for.
    func enterSync() { phase = isFullSync ? .fullSync : .stable }

    /// The source has begun the sync.
    func markBegun() { hasBegun = true }

    func enterStable() {
        phase = .stable
        stableSince = .now
    }

    func enterCatchingUp() { phase = .catchingUp }

    func enterLeaving() { phase = .leaving }
}
