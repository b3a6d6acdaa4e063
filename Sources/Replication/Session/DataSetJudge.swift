import Dragonfly

/// Decides from key counts and other figures of both sides whether the source holds data that its journal has not brought.
/// DFLY LOAD, DEBUG RELOAD and a period as a replica replace the data set and leave no record except a FLUSHALL.
///
/// ```
/// lacking   = sum over the databases of (keys of the source - keys of the target, where positive)
/// in doubt  : lacking - slack > allowed = accepted + keys that the target has lost by itself + incidents
/// ```
/// The slack is the number of keys that records between the two counts can have changed, so a stream of inserts and deletes
/// never puts a count in doubt. Keys of others in the target can hide missing keys, but never cause a doubt. If several
/// counts in a row are in doubt, the data sets differ.
struct DataSetJudge {
    /// The number of counts in a row that must agree that keys are lacking.
    static let confirmations = 3

    /// The figures of both sides at nearly the same position of the stream.
    struct Sample: Equatable {
        var sourceKeys: [UInt32: Int]
        /// Keys of the target, without the keys that belong to df2redis, such as the task's checkpoint.
        var targetKeys: [UInt32: Int]
        /// The number of keys by which either count may be off, because records between the counts can have added or
        /// removed them.
        var slack: Int
        /// Keys that the target itself has expired and evicted since its start.
        var targetLosses: Int
        var targetRunID: String
        /// The number of commands and keys that could not be replicated so far.
        var incidents: Int
        /// The target holds elements with TTLs. The source removes expired elements at a time of its choice, so it may
        /// still have keys that the target no longer has.
        var hasElementExpiries = false
        /// `nil` if the source does not report them.
        var calls: SourceCalls?
        /// The number of FLUSHALL and FLUSHDB records that the session had applied before and after it asked for `calls`.
        var flushRecords: ClosedRange<Int> = 0...0
        /// The number of keys that come back without a full sync (`MissingKeys`).
        var mendable = 0
        /// The number of keys for which it is worth comparing both sides before a full sync (`MissingKeys`).
        var searchable = 0
    }

    enum Verdict: Equatable {
        case fits
        /// The next comparison should follow soon.
        case inDoubt
        /// This number of keys is missing; they come back without a full sync.
        case mending(Int)
        /// This number of keys is missing; a comparison of both sides may find them.
        case missing(Int)
        case differs(FullSyncReason)
    }

    /// The note for the next session.
    private(set) var note: DataSetNote
    /// A FLUSHALL has been applied, and no count has matched since, so the target holds exactly the keys that later
    /// records have brought.
    private var isAfterFlush = false
    private var incidentsMark: Int?
    /// How many more flush records than flush calls there were at the last count that matched.
    private var surplusMark: Int?
    private var keyDoubts = 0
    private var flushDoubts = 0

    /// - Parameters:
    ///   - note: the note of the previous session; `nil` for a full sync.
    ///   - calls: the source's calls at a moment before the full sync.
    init(note: DataSetNote?, callsBefore calls: SourceCalls?) {
        self.note = note ?? DataSetNote()
        if let calls = note?.calls ?? (note == nil ? calls : nil) { surplusMark = -calls.flushes }
        if note == nil { self.note.calls = calls }
    }

    /// Reports that a FLUSHALL has been applied to the target.
    ///
    /// - Parameter incidents: `Sample.incidents` before anything that follows the FLUSHALL.
    mutating func flushedAll(incidents: Int) {
        isAfterFlush = true
        (keyDoubts, flushDoubts) = (0, 0)
        (note.accepted, note.targetLosses, incidentsMark) = (0, nil, incidents)
    }

    /// Accepts `count` more keys that the source counts and the target lacks.
    mutating func accept(_ count: Int) { note.accepted = note.accepted.map { $0 + count } }

    /// Whether the last count was of a target process other than `runID`.
    func hasOtherTarget(than runID: String) -> Bool { note.targetRunID.map { $0 != runID } ?? false }

    mutating func judge(_ sample: Sample) -> Verdict {
        let flushes = judgeFlushes(sample)
        let keys = judgeKeys(sample)
        for verdict in [flushes, keys] { if case .differs = verdict { return verdict } }
        switch keys {
        case .mending where flushes == .fits, .missing where flushes == .fits: return keys
        default: break
        }
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
            // Nobody knows how many keys a restart has cost. After a FLUSHALL there were none to lose.
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
            if missing <= sample.searchable, !isAfterFlush { return .missing(missing) }
            return .differs(
                .keysMissing(
                    missing, source: sample.sourceKeys.values.reduce(0, +),
                    target: sample.targetKeys.values.reduce(0, +)))
        }
        keyDoubts = 0
        note.accepted = isFuzzy ? lacking + sample.slack : min(allowed ?? .max, lacking + sample.slack)
        // The accepted number includes all losses and incidents so far.
        (note.targetLosses, incidentsMark) = (sample.targetLosses, sample.incidents)
        return .fits
    }
}
