import Dragonfly
import Link
import Logging
import Redis

/// Compares the two sides' data sets every few seconds while the source is followed, and at once after a FLUSHALL.
///
/// ```
/// changes decoded so far → source: loading? keys, calls, LSNs → all flows have applied up to there → target: keys → again
/// └──────────────────────────────── what the records between can have changed: the slack ────────────────────────────┘
/// ```
/// The watch has its own connections and decides nothing itself (`DataSetJudge`). If a side does not answer, the watch asks
/// again later; other parts notice that a side is lost.
actor DataSetWatch {
    private static let interval = Duration.seconds(5)
    private static let doubtInterval = Duration.milliseconds(300)
    /// How long to wait until the flows have applied what the source had at its count. After that the comparison is given
    /// up until the next one.
    private static let catchUpLimit = Duration.seconds(2)

    private let inspector: SourceInspector
    private let control: TargetControl
    private let checkpoint: CheckpointKey
    private let registry: TaskRegistry
    private let progress: [FlowProgress]
    private let appliers: [FlowApplier]
    private let incidents: IncidentLog
    private let checkpointStore: CheckpointStore
    private let logger: Logger
    private let onDifference: @Sendable (FullSyncReason) -> Void

    private var judge: DataSetJudge
    /// `nil` if no keys are read at the source beside the stream.
    private var missingKeys: MissingKeys?
    /// The source's keys at the last comparison.
    private var sourceKeys = 0
    private var flushRecords = 0
    private var storedNote: DataSetNote?
    private var watching: Task<Void, Never>?
    private let pause = InterruptibleSleep()
    private var isStopped = false

    init(
        inspector: SourceInspector, control: TargetControl, checkpoint: CheckpointKey, registry: TaskRegistry,
        progress: [FlowProgress],
        appliers: [FlowApplier], incidents: IncidentLog, checkpointStore: CheckpointStore, judge: DataSetJudge,
        missingKeys: MissingKeys?, logger: Logger,
        onDifference: @escaping @Sendable (FullSyncReason) -> Void
    ) {
        self.inspector = inspector
        self.control = control
        self.checkpoint = checkpoint
        self.registry = registry
        self.progress = progress
        self.appliers = appliers
        self.incidents = incidents
        self.checkpointStore = checkpointStore
        self.judge = judge
        self.missingKeys = missingKeys
        self.logger = logger
        self.onDifference = onDifference
    }

    func start() {
        guard watching == nil, !isStopped else { return }
        watching = Task { await self.watch() }
    }

    /// Ends the comparisons and closes their connections.
    func stop() async {
        isStopped = true
        watching?.cancel()
        await watching?.value
        missingKeys?.endSearch()
        await inspector.close()
        await control.close()
    }

    /// Reports that a FLUSHALL or FLUSHDB has been applied to the target.
    ///
    /// - Returns: the note to store together with it.
    func flushed(_ command: GlobalCommand) -> DataSetNote {
        switch command {
        case .flushAll:
            flushRecords += 1
            judge.flushedAll(incidents: incidentCount)
        case .flushDatabase: flushRecords += 1
        case .flushSlots: break
        }
        storedNote = judge.note
        pause.end()
        return judge.note
    }

    var note: DataSetNote { judge.note }

    /// The number of commands and keys that could not be replicated so far.
    private var incidentCount: Int { incidents.totals.values.reduce(0, +) }

    private func watch() async {
        var wait = Duration.seconds(1)
        while !Task.isCancelled {
            await pause.sleep(for: wait)
            if Task.isCancelled { return }
            wait = Self.interval
            do {
                guard let verdict = try await compare() else {
                    wait = Self.doubtInterval
                    continue
                }
                switch verdict {
                case .fits:
                    missingKeys?.noteNoneMissing()
                    try await store()
                case .inDoubt: wait = Self.doubtInterval
                case .mending(let count):
                    missingKeys?.noteMissing(count)
                    if missingKeys?.areAllFound == true { judge.accept(count) }
                case .missing(let count): missingKeys?.beginSearch(for: count, among: sourceKeys)
                case .differs(let reason): return onDifference(reason)
                }
            } catch let error as SourceError where error.code == .permission {
                logger.warning(
                    "cannot detect data that the source loads without a journal record: \(error)",
                    metadata: ["phase": "stable"])
                return
            } catch {
                logger.debug("the two sides' keys cannot be counted: \(error)")
            }
        }
    }

    private func store() async throws {
        guard !judge.note.says(theSameAs: storedNote) else { return }
        let note = judge.note
        try await checkpointStore.note(note, on: control)
        storedNote = note
    }

    /// Compares both sides once.
    ///
    /// - Returns: `nil` if the counts of the two sides were too far apart in the stream to compare.
    private func compare() async throws -> DataSetJudge.Verdict? {
        let changes = keyChanges
        let mendable = missingKeys?.mendable ?? 0
        let flushesBefore = flushRecords
        let source = try await inspector.figures()
        if source.isLoading { return .differs(.loading) }
        let calls = try await inspector.calls()
        let flushesAfter = flushRecords
        guard source.nextLSNs.count == progress.count, try await hasApplied(source.nextLSNs) else { return nil }
        // In a cluster, the flows write marks to more and more slots meanwhile.
        let ownBefore = try await control.isInCluster ? ownKeys() : nil
        let target = try await control.keyspaceFigures()
        guard flushRecords == flushesBefore else { return nil }
        // If a master was replaced or restarted, missing keys must not be accepted before its marks have shown that nothing
        // is missing.
        if judge.hasOtherTarget(than: target.runID) {
            for applier in appliers where await !applier.hasFoundNodesComplete() { return nil }
        }
        var sample = DataSetJudge.Sample(
            sourceKeys: source.keys, targetKeys: target.keys, slack: keyChanges - changes, targetLosses: target.losses,
            targetRunID: target.runID, incidents: incidentCount, calls: calls,
            flushRecords: flushesBefore...flushesAfter)
        // Keys enter and leave the queue meanwhile.
        sample.mendable = max(mendable, missingKeys?.mendable ?? 0)
        sourceKeys = source.keys.values.reduce(0, +)
        sample.searchable = missingKeys?.searchable(among: sourceKeys) ?? 0
        let own = try await ownKeys()
        if let ownBefore { sample.slack += abs(own - ownBefore) + progress.count }
        sample.targetKeys[0, default: own] -= own
        for database in target.keys.keys where database != 0 {
            sample.targetKeys[database, default: 0] -= try await ownKeys(in: database)
        }
        // Keys of other tasks in the target cannot be distinguished from this task's, so there is nothing to compare.
        guard try await control.others(in: registry).isEmpty else { return .fits }
        for applier in appliers where await applier.hasElementExpiries { sample.hasElementExpiries = true }
        guard flushRecords == flushesBefore else { return nil }
        return judge.judge(sample)
    }

    private func ownKeys(in database: UInt32 = 0) async throws -> Int {
        try await control.ownKeyCount(checkpoint: checkpoint.name, task: checkpoint.task, in: database)
    }

    /// The number of keys that the records decoded so far can have added and removed.
    private var keyChanges: Int { progress.reduce(0) { $0 + $1.keyChanges } }

    private func hasApplied(_ nextLSNs: [LSN]) async throws -> Bool {
        let deadline = ContinuousClock.now + Self.catchUpLimit
        while !zip(progress, nextLSNs).allSatisfy({ ($0.appliedLSN ?? LSN(0)) >= $1 }) {
            if ContinuousClock.now > deadline { return false }
            try await Task.sleep(for: .milliseconds(5))
        }
        return true
    }
}
