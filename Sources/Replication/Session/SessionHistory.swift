import Dragonfly

/// What the sessions before this one have come to, and what that means for the next one.
struct SessionHistory {
    var fullSyncs = 0
    /// Sessions of this process, with the one that begins.
    var sessions = 0
    /// A session has got as far as a sync.
    private static let mostChanges = 10
    /// Openings in a row that have ended by what the target no longer has.
    private var changesFound = 0
    private(set) var hasBegun = false
    /// A session has followed the source.
    private(set) var hasFollowed = false
    /// Why the session must not resume at the checkpoint.
    private(set) var resumeBlocker: FullSyncReason?
    /// This process has switched the target's import mode on.
    private(set) var ownsImportMode = false
    /// A FLUSHALL of the source has ended a full sync, and none has been completed since: it may well be empty.
    private(set) var sourceWasEmptied = false
    var pacing = FullSyncPacing()
    /// Attempts that have failed, and since when.
    private var attempts = 0
    private var lostSince: ContinuousClock.Instant?

    /// When the next session is to begin.
    enum Next {
        case atOnce
        /// When full syncs may follow each other again (`pacing`).
        case paced
        /// After a wait that grows with the attempts, if at all.
        case retry
    }

    /// A session has been ended by `error`.
    mutating func next(after error: ReplicationError, of session: SessionOutcome) -> Next {
        ownsImportMode = session.ownsImportMode
        hasBegun = hasBegun || session.hasBegun
        // Some flows would resume and others would not, or the position has just left the source's buffer: a full sync.
        if error.code == .source(.resumeRefused), resumeBlocker == nil {
            resumeBlocker = .mixedFlowModes
            return .atOnce
        }
        if error.code == .postponed { return .paced }
        // The opening has found out what the target lacks, node by node of a cluster, and the next session begins with that.
        if error.code == .targetChanged, !session.hasBegun, changesFound < Self.mostChanges {
            changesFound += 1
            resumeBlocker = error.resumeBlocker ?? resumeBlocker
            return .atOnce
        }
        changesFound = 0
        // Until a full sync has replaced it, the position is that of another stream, or of other data.
        let isLasting = resumeBlocker != .mixedFlowModes && !session.hasBegun
        resumeBlocker = error.resumeBlocker ?? (isLasting ? resumeBlocker : nil)
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
