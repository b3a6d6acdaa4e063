import Dragonfly

/// What the sessions before this one have left to know.
struct SessionHistory {
    var fullSyncs = 0
    /// A session has got as far as a sync.
    private(set) var hasBegun = false
    /// A session has followed the source.
    private(set) var hasFollowed = false
    /// Why the session must not go on where the checkpoint stands.
    private(set) var distrust: FullSyncReason?
    /// This process has switched the target's import mode on.
    private(set) var ownsImportMode = false
    /// A FLUSHALL of the source has ended a full sync, and none has been completed since: it may well be empty.
    private(set) var sourceWasEmptied = false
    var pacing = FullSyncPacing()
    /// Attempts that have come to nothing, and since when.
    private var attempts = 0
    private var lostSince: ContinuousClock.Instant?

    /// What a session leaves behind.
    struct Legacy: Sendable {
        var hasBegun: Bool
        var isFullSync: Bool
        /// How long it has followed the source; `nil`: it did not get so far.
        var stableTime: Duration?
        var ownsImportMode: Bool
    }

    /// When the next session is to begin.
    enum Next {
        case atOnce
        /// When full syncs may follow each other again (`pacing`).
        case paced
        /// After a wait that grows with the attempts, if at all.
        case retry
    }

    /// A session has been ended by `error`.
    mutating func next(behind error: ReplicationError, of session: Legacy) -> Next {
        ownsImportMode = session.ownsImportMode
        hasBegun = hasBegun || session.hasBegun
        // The flows disagree, or the position has just left the source's buffer: without it, then.
        if error.code == .source(.resumeRefused), distrust == nil {
            distrust = .disagreement
            return .atOnce
        }
        if error.code == .postponed { return .paced }
        // Until a full sync has taken its place, the position is that of another stream, or of other data.
        let isLasting = distrust != .disagreement && !session.hasBegun
        distrust = error.resumeBlocker ?? (isLasting ? distrust : nil)
        if session.hasBegun {
            (attempts, lostSince) = (0, nil)
            let hasFollowed = session.stableTime != nil
            self.hasFollowed = self.hasFollowed || hasFollowed
            sourceWasEmptied = error.code == .resync || (sourceWasEmptied && !hasFollowed)
            pacing.sessionEnded(wasFullSync: session.isFullSync, stableTime: session.stableTime)
        }
        return .retry
    }

    /// - Returns: the number of the attempt, from 1; `nil` when it has been tried for longer than `limit`.
    mutating func beginAttempt(givingUpAfter limit: Duration?) -> Int? {
        let since = lostSince ?? .now
        lostSince = since
        if let limit, since.duration(to: .now) > limit { return nil }
        attempts += 1
        return attempts
    }
}
