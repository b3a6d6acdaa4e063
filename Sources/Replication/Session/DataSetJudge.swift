import Dragonfly

/// Decides from figures of both sides whether the source holds data that its journal has not brought: DFLY LOAD, DEBUG
/// RELOAD and a time as a replica replace a data set, and leave no record but a FLUSHALL.
///
/// ```
/// lacking   = sum over the databases of (keys of the source - keys of the target, where positive)
/// in doubt  : lacking - slack > allowed = accepted + keys that the target has lost by itself + incidents
/// ```
/// The slack is what records between the two counts can have changed, so that a stream of inserts and deletes never puts a
/// count in doubt. Keys of others in the target can hide what is lacking, and never be taken for it. What is in doubt
/// several times in a row differs.
struct DataSetJudge {
    /// So many counts in a row must agree that something is lacking.
    static let confirmations = 3

    /// Both sides at nearly the same place of the stream.
    struct Sample: Equatable {
        var sourceKeys: [UInt32: Int]
        /// Without the task's checkpoint.
        var targetKeys: [UInt32: Int]
        /// By how many keys either count may be off: what the records in between can have added or removed.
        var slack: Int
        /// Keys that the target has expired and evicted by itself since its start.
        var targetLosses: Int
        var targetRunID: String
        /// Commands and keys that could not be replicated, so far.
        var incidents: Int
        /// The source removes elements whose TTLs have passed when it sees fit: keys may be there and not here.
        var hasElementExpiries = false
        /// `nil`: the source does not say.
        var calls: SourceCalls?
        /// FLUSHALL and FLUSHDB applied by the session, before and after the calls were asked for.
        var flushRecords: ClosedRange<Int> = 0...0
        /// Keys that come back without a full sync (`MissingKeys`).
        var mendable = 0
    }

    enum Verdict: Equatable {
        case fits
        /// Worth another comparison soon.
        case inDoubt
        /// So many keys are missing, and come back without a full sync.
        case mending(Int)
        case differs(FullSyncReason)
    }

    /// What the next session must know.
    private(set) var note: DataSetNote
    /// A FLUSHALL has been applied, and no count has fitted since: the target holds what records have brought, to the key.
    private var isAfterFlush = false
    private var incidentsMark: Int?
    /// Flush records that are more than calls, as of the last count that fitted.
    private var surplusMark: Int?
    private var keyDoubts = 0
    private var flushDoubts = 0

    /// - Parameters:
    ///   - note: what the session before has left; `nil` for a full sync.
    ///   - calls: as of a moment before the full sync.
    init(note: DataSetNote?, callsBefore calls: SourceCalls?) {
        self.note = note ?? DataSetNote()
        if let calls = note?.calls ?? (note == nil ? calls : nil) { surplusMark = -calls.flushes }
        if note == nil { self.note.calls = calls }
    }

    /// A FLUSHALL has been applied to the target.
    ///
    /// - Parameter incidents: as `Sample.incidents`, before anything that comes after it.
    mutating func flushedAll(incidents: Int) {
        isAfterFlush = true
        (keyDoubts, flushDoubts) = (0, 0)
        (note.accepted, note.targetLosses, incidentsMark) = (0, nil, incidents)
    }

    /// So many keys more that the source counts the target need not have.
    mutating func accept(_ count: Int) { note.accepted = note.accepted.map { $0 + count } }

    /// The last count was of another process than `runID`'s.
    func hasOtherTarget(than runID: String) -> Bool { note.targetRunID.map { $0 != runID } ?? false }

    mutating func judge(_ sample: Sample) -> Verdict {
        let flushes = judgeFlushes(sample)
        let keys = judgeKeys(sample)
        for verdict in [flushes, keys] { if case .differs = verdict { return verdict } }
        if case .mending = keys, flushes == .fits { return keys }
        if flushes == .fits, keys == .fits {
            isAfterFlush = false
            return .fits
        }
        return .inDoubt
    }

    private mutating func judgeFlushes(_ sample: Sample) -> Verdict {
        guard let calls = sample.calls else { return .fits }
        defer { note.calls = SourceCalls(flushes: note.calls?.flushes ?? 0, roleChanges: calls.roleChanges) }
        let wasReset = calls.flushes < note.calls?.flushes ?? 0
        if let surplusMark, !wasReset, sample.flushRecords.lowerBound - calls.flushes > surplusMark {
            flushDoubts += 1
            guard flushDoubts >= Self.confirmations else { return .inDoubt }
            return .differs(.flushWithoutCall)
        }
        flushDoubts = 0
        surplusMark = sample.flushRecords.upperBound - calls.flushes
        note.calls = calls
        return .fits
    }

    private mutating func judgeKeys(_ sample: Sample) -> Verdict {
        let lacking = sample.sourceKeys.reduce(0) { $0 + max(0, $1.value - sample.targetKeys[$1.key, default: 0]) }
        if note.targetRunID != sample.targetRunID {
            // What a restart has cost is not known; after a FLUSHALL there was nothing to lose.
            if note.targetRunID != nil, !isAfterFlush { note.accepted = nil }
            (note.targetRunID, note.targetLosses) = (sample.targetRunID, nil)
        }
        let losses = note.targetLosses.map { max(0, sample.targetLosses - $0) } ?? 0
        let incidents = incidentsMark.map { max(0, sample.incidents - $0) } ?? 0
        let allowed = note.accepted.map { $0 + losses + incidents }
        let isFuzzy = sample.hasElementExpiries && !isAfterFlush
        if let allowed, !isFuzzy, lacking - sample.slack > allowed {
            if note.targetLosses == nil { note.targetLosses = sample.targetLosses }
            if incidentsMark == nil { incidentsMark = sample.incidents }
            let missing = lacking - sample.slack - allowed
            if missing <= sample.mendable, !isAfterFlush {
                keyDoubts = 0
                return .mending(missing)
            }
            keyDoubts += 1
            guard keyDoubts >= Self.confirmations else { return .inDoubt }
            return .differs(
                .keysMissing(
                    missing, source: sample.sourceKeys.values.reduce(0, +),
                    target: sample.targetKeys.values.reduce(0, +)))
        }
        keyDoubts = 0
        note.accepted = isFuzzy ? lacking + sample.slack : min(allowed ?? .max, lacking + sample.slack)
        // What is accepted has the losses and incidents so far in it.
        (note.targetLosses, incidentsMark) = (sample.targetLosses, sample.incidents)
        return .fits
    }
}
