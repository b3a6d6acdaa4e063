import Dragonfly

/// The results of the earlier sessions, and what they mean for the next one.
struct SessionHistory {
    var fullSyncs = 0
    /// The number of sessions of this process, including the one that begins.
    var sessions = 0
    /// The limit of `changesFound`: after that, the next session waits before it begins.
    private static let mostChanges = 10
    /// The number of openings in a row that ended because the target had lost something.
    private var changesFound = 0
    /// A session has got as far as a sync.
    private(set) var hasBegun = false
    /// A session has followed the source.
    private(set) var hasFollowed = false
    /// Why the session must not resume at the checkpoint.
    private(set) var resumeBlocker: FullSyncReason?
    /// This process has switched the target's import mode on.
    private(set) var ownsImportMode = false
    /// A FLUSHALL of the source has ended a full sync and none has been completed since, so the source may well be empty.
    private(set) var sourceWasEmptied = false
    var pacing = FullSyncPacing()
    /// The number of failed attempts since the last sync; `lostSince` is the time of the first.
    private var attempts = 0
    /// An attempt after the first since the last sync.
    var isRepeatedAttempt: Bool { attempts > 1 }
    private var lostSince: ContinuousClock.Instant?

    /// When the next session is to begin.
    enum Next {
        case atOnce
        /// When `pacing` allows the next full sync.
        case paced
        /// After a wait that increases with each attempt, unless the limit is reached.
        case retry
    }

    /// Records that a session was ended by `error`, and decides when the next one begins.
    mutating func next(after error: ReplicationError, of session: SessionOutcome) -> Next {
        ownsImportMode = session.ownsImportMode
        hasBegun = hasBegun || session.hasBegun
        // Some flows would resume and others would not, or the position has just left the source's buffer. This needs a
        // full sync.
        if error.code == .source(.resumeRefused), resumeBlocker == nil {
            resumeBlocker = .mixedFlowModes
            return .atOnce
        }
        if error.code == .postponed { return .paced }
        // The opening has found what the target lacks, in a cluster node by node. The next session starts with this
        // knowledge.
        if error.code == .targetChanged, !session.hasBegun, changesFound < Self.mostChanges {
            changesFound += 1
            resumeBlocker = error.resumeBlocker ?? resumeBlocker
            return .atOnce
        }
        changesFound = 0
        // Until a full sync has replaced it, the position belongs to another stream or to other data.
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

    /// Counts another attempt.
    ///
    /// - Returns: the number of the attempt, starting with 1; `nil` if the attempts have failed for longer than `limit`.
    mutating func beginAttempt(givingUpAfter limit: Duration?) -> Int? {
        let since = lostSince ?? .now
        lostSince = since
        if let limit, since.duration(to: .now) > limit { return nil }
        attempts += 1
        return attempts
    }
}
