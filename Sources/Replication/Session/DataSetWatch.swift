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
/// It asks on connections of its own, and decides nothing itself (`DataSetJudge`). A side that does not answer is asked
/// again later: that it is lost is for others to notice.
actor DataSetWatch {
    private static let interval = Duration.seconds(5)
    private static let doubtInterval = Duration.milliseconds(300)
    /// How long the flows may take to come to where the source was; else it is left for the next time.
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
    /// `nil`: nothing is read at the source beside the stream.
    private var missingKeys: MissingKeys?
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

    /// Ends the comparisons and their connections; notes what the next session must know.
    func stop() async {
        isStopped = true
        watching?.cancel()
        await watching?.value
        await inspector.close()
        await control.close()
    }

    /// A FLUSHALL or FLUSHDB has been applied to the target.
    ///
    /// - Returns: what is to be noted with it.
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

    /// Commands and keys that could not be replicated, so far.
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
                    missingKeys?.areBack()
                    try await store()
                case .inDoubt: wait = Self.doubtInterval
                case .mending(let count):
                    missingKeys?.areMissing(count)
                    if missingKeys?.areNone == true { judge.accept(count) }
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

    /// - Returns: `nil` when the two sides were not near enough to each other.
    private func compare() async throws -> DataSetJudge.Verdict? {
        let changes = keyChanges
        let mendable = missingKeys?.mendable ?? 0
        let flushesBefore = flushRecords
        let source = try await inspector.figures()
        if source.isLoading { return .differs(.loading) }
        let calls = try await inspector.calls()
        let flushesAfter = flushRecords
        guard source.nextLSNs.count == progress.count, try await hasApplied(source.nextLSNs) else { return nil }
        // In a cluster, flows leave marks in ever more slots meanwhile.
        let ownBefore = try await control.isInCluster ? ownKeys() : nil
        let target = try await control.keyspaceFigures()
        guard flushRecords == flushesBefore else { return nil }
        // Of a master that was replaced, or restarted, what is missing must not count as accepted before its marks have shown
        // that nothing is.
        if judge.hasOtherTarget(than: target.runID) {
            for applier in appliers where await !applier.hasFoundNodesComplete() { return nil }
        }
        var sample = DataSetJudge.Sample(
            sourceKeys: source.keys, targetKeys: target.keys, slack: keyChanges - changes, targetLosses: target.losses,
            targetRunID: target.runID, incidents: incidentCount, calls: calls,
            flushRecords: flushesBefore...flushesAfter)
        // Keys come into the queue, and out of it, meanwhile.
        sample.mendable = max(mendable, missingKeys?.mendable ?? 0)
        let own = try await ownKeys()
        if let ownBefore { sample.slack += abs(own - ownBefore) + progress.count }
        sample.targetKeys[0, default: own] -= own
        for database in target.keys.keys where database != 0 {
            sample.targetKeys[database, default: 0] -= try await ownKeys(in: database)
        }
        // What of the target is other tasks' nobody counts.
        guard try await control.others(in: registry).isEmpty else { return .fits }
        for applier in appliers where await applier.hasElementExpiries { sample.hasElementExpiries = true }
        guard flushRecords == flushesBefore else { return nil }
        return judge.judge(sample)
    }

    private func ownKeys(in database: UInt32 = 0) async throws -> Int {
        try await control.ownKeyCount(checkpoint: checkpoint.name, task: checkpoint.task, in: database)
    }

    /// How many keys the records decoded so far can have added and removed.
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
