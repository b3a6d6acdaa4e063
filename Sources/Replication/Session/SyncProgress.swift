/// How far a session has come.
@SessionActor
final class SyncProgress {
    private(set) var phase = Phase.connecting
    /// The current step of the opening; it stays at the last step once the sync has begun.
    private(set) var step = OpeningStep.claimTask
    /// The source sends a snapshot. `false` before that is known, and if the session resumes.
    private(set) var isFullSync = false
    /// The session has got as far as a sync.
    private(set) var hasBegun = false
    private var stableSince: ContinuousClock.Instant?

    /// The phase for an error that comes up now.
    var errorPhase: SessionPhase {
        switch phase {
        case .leaving: .leaving
        case .catchingUp: .catchingUp
        case _ where !hasBegun: .opening(step)
        case .stable: .stable
        case .connecting, .fullSync, .waiting: .fullSync
        }
    }

    /// How long the session has been stable; `nil` if it is not stable yet.
    var stableTime: Duration? { stableSince?.duration(to: .now) }

    func enter(_ step: OpeningStep) { self.step = step }

    func setFullSync(_ isFullSync: Bool) { self.isFullSync = isFullSync }

    /// The flows are built, and the source is about to be asked for the sync.
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
