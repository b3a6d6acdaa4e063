import Base
import Dragonfly
import Redis
import Wire

/// What a flow's bytes mean for the target: the decoder's sink, which fills batches with commands.
///
/// A journal record goes down a line of stages (`FlowStages`), a value of the snapshot to the `SnapshotPhase`. Here is what
/// is common to both: which record is the next, why decoding halts, when a batch is full.
///
/// Lives on its applier's queue.
final class FlowEncoder: FlowSink {
    /// Why decoding must not go on before somebody acts.
    enum Halt {
        /// Every flow meets before and after this command.
        case global(GlobalCommand, transactionID: UInt64)
        /// The source was emptied during the snapshot: begin again.
        case restart(GlobalCommand)
        /// The target is to be asked for keys (`ConflictStage`).
        case questions
        case failure(ReplicationError)
    }

    /// The stream is to have most of a batch: adjusted deadlines get so many bytes of it while more waits to be decoded.
    static let deadlineBytes = BatchBuilder.batchBytes / 4

    let flow: FlowID
    let reports: EncoderReports
    /// For those who remove keys that the source no longer has.
    var reconcile: ReconcileStage { stages.reconcile }
    var memberTTLs: MemberTTLStage? { stages.memberTTLs }
    var expiryGuard: ExpiryGuard? { stages.expiryGuard }
    var placementEvidence: (isByKey: Bool, isByTag: Bool) { stages.ownership.placementEvidence }
    private(set) var masterVersion: String?

    private let stages: FlowStages
    private let builder: BatchBuilder
    private let position: StreamPosition
    /// `nil`: the flow is a journal from here on.
    private var snapshot: SnapshotPhase?
    private let flowCount: Int
    private let sourceClock: SourceClock
    private let progress: FlowProgress
    /// Values that are read at the source; `nil`: none are.
    let refresher: FlowRefresher?
    /// A batch holds one sweep at most.
    private var hasSwept = false
    /// When the oldest batch on its way to the target was sent; `nil`: none is on its way.
    var oldestSent: ContinuousClock.Instant?

    /// - Throws: `SystemError`, when there is no room for what the flow has to remember.
    init(flow: FlowID, start: FlowStart, context: FlowContext, profile: TargetProfile) throws {
        self.flow = flow
        stages = try FlowStages(flow: flow, start: start, context: context, profile: profile)
        builder = stages.builder
        reports = stages.reports
        position = stages.position
        snapshot =
            start.isContinued ? nil : try SnapshotPhase(stages, start: start, context: context, profile: profile)
        flowCount = context.flowCount
        sourceClock = context.sourceClock
        progress = context.progress(flow)
        refresher = context.refreshes.map { [stages] in
            FlowRefresher($0, stages, profile: profile, mayRepeat: context.checkpoint.store != .target)
        }
    }

    // MARK: How far it is

    var batch: CommandBatch { builder.batch }
    var selectedDatabase: UInt32? { builder.selectedDatabase }
    /// Databases that this flow has written to.
    var databases: Set<UInt32> { builder.databases }
    var halt: Halt? { reports.halt }
    /// The flow is a journal.
    var isStable: Bool { builder.isJournal }
    /// All values of the snapshot have come.
    var hasCompletedSnapshot: Bool { snapshot?.isComplete ?? true }
    /// The LSN of the next record; 0 until the flow has said it.
    var nextLSN: UInt64 { position.nextLSN }

    var isPaused: Bool { reports.isHalted || isGateClosed || isBatchFull }

    /// The batch is to be sent before more is decoded.
    var isBatchFull: Bool { builder.isFull }

    /// Keys of our own under which values were being built, with their databases.
    var partialKeys: [(database: UInt32, key: [UInt8])] { snapshot?.partialKeys ?? [] }

    // MARK: Batches

    /// Ends the batch, which brings the flow to `flowBytes` and to the position so far, and begins the next one.
    ///
    /// - Returns: the batch, to be sealed.
    func endBatch(flowBytes: UInt64) -> CommandBatch {
        builder.prepareForCheckpoint()
        hasSwept = false
        let batch = builder.takeBatch()
        if isStable { batch.progress.nextLSN = nextLSN }
        batch.progress.flowBytes = flowBytes
        expiryGuard?.keyExpiries.seal(next: batch.progress.nextLSN ?? 0)
        return batch
    }

    /// The batch is applied, and nobody asks for its commands any more.
    func reuse(_ batch: CommandBatch) { builder.reuse(batch) }

    /// How many bytes a batch is to have that goes by itself; never less than it has to a near target.
    func setBatchBytes(_ bytes: Int) { builder.orderedBatchBytes = max(bytes, BatchBuilder.batchBytes) }

    /// The batch so far may be sent while others of the kind are on their way.
    var isBatchUnordered: Bool { batch.isUnordered && snapshot?.isComplete == false }

    /// Batches from the next one on have a command of its own for each string.
    ///
    /// - Returns: `false` when they had that already.
    func writeSingleStrings() -> Bool { builder.writeSingleStrings() }

    // MARK: Databases

    /// The session has to prepare a database first.
    var isGateClosed: Bool { builder.isGateClosed }

    /// Databases that the session has not been asked for yet.
    func takeUnreportedDatabases() -> [UInt32] { builder.gate?.takeUnreported() ?? [] }

    func open(_ database: UInt32) { builder.gate?.open(database) }

    // MARK: Time

    /// What is decoded next arrived between `oldest` and `newest`, in Unix milliseconds by our clock.
    func setArrival(newest: Int64, oldest: Int64) {
        let skew = sourceClock.skew
        position.setArrival(newest: newest + skew, oldest: oldest + skew)
        stages.rewrite.setOldestArrival(oldest + skew)
    }

    /// Records before `end` may have been written long before they arrived.
    func setCatchUpEnd(_ end: UInt64) { position.catchUpEnd = end }

    /// Brings the target's deadlines in line with the lag; `oldestArrival` is `nil` when nothing waits to be decoded.
    func adjustDeadlines(oldestArrival: Int64?, limit: Int = BatchBuilder.batchBytes) {
        guard let expiryGuard, !batch.isInCommand, halt == nil else { return }
        expiryGuard.updateLag(
            oldestArrival: oldestArrival, unconfirmed: oldestSent.map { $0.duration(to: .now).milliseconds } ?? 0,
            isInFullSync: !isStable)
        let count = batch.commandCount
        expiryGuard.writeDeadlines(to: batch, limit: limit) { builder.select($0) }
        batch.noteOutsideStream(from: count)
    }

    /// Removes elements whose TTLs have passed: those that had before anything that arrived at `time`, by our clock, was
    /// done at the source.
    func sweepElements(upTo time: Int64) {
        guard let memberTTLs, !memberTTLs.isEmpty, isStable, !isPaused, !hasSwept, !batch.isInCommand,
            !position.isCatchingUp
        else { return }
        hasSwept = true
        let count = batch.commandCount
        memberTTLs.sweep(
            until: time + sourceClock.skew - ElementExpiry.transitMilliseconds - ElementExpiry.marginMilliseconds)
        batch.noteOutsideStream(from: count)
    }

    // MARK: Halting

    func fail(_ code: ReplicationError.Code, _ message: String) { reports.fail(code, message) }

    /// What the target is to be asked for.
    var questions: [ConflictStage.Place] { snapshot?.conflicts?.questions ?? [] }

    /// The target has said which of the keys in question it has.
    func resumeAfterQuestions(existing: [ConflictStage.Place]) {
        guard case .questions = halt else { return }
        reports.resume()
        snapshot?.conflicts?.resolve(existing: existing) { write($0, at: $1) }
    }

    /// The global command has been applied to the target.
    func resumeAfterGlobal() {
        reports.resume()
        refresher?.seeFlush()
        countRecord()
    }

    // MARK: Values that were read at the source

    /// Between two records: writes what has been read and is true here.
    ///
    /// - Parameter now: Unix time in milliseconds, by our clock.
    func writeRefreshes(at now: Int64) {
        guard let refresher, refresher.dueLSN <= nextLSN, canWriteRefreshes else { return }
        setArrival(newest: now, oldest: now)
        refresher.writeDue()
    }

    private var canWriteRefreshes: Bool { isStable && halt == nil && !batch.isInCommand && !isGateClosed }

    // MARK: The journal, within the snapshot and after it

    func command(_ command: borrowing JournalCommand, database: UInt32, inSnapshot: Bool) {
        if !inSnapshot {
            progress.decoded(keyChanges: command.keyChangeLimit)
            refresher?.see(command, database: database)
        }
        write(command, at: RecordPlace(database: database, isInSnapshot: inSnapshot))
    }

    private func write(_ command: borrowing JournalCommand, at place: RecordPlace) {
        let admission = stages.admit(command, at: place, conflicts: snapshot?.conflicts)
        if admission == .wait { return }
        guard place.isInSnapshot else { return countRecord() }
        if admission == .written { snapshot?.wrote(command, at: place) }
    }

    func journalPing(inSnapshot: Bool) {
        if !inSnapshot { countRecord() }
    }

    func journalLSN(_ lsn: UInt64) {
        guard lsn &+ 1 == nextLSN else {
            return fail(
                .recordsLost,
                "the source says that LSN \(lsn) was the last one, we counted to \(nextLSN &- 1): records of its journal "
                    + "have not come, as when a DEBUG POPULATE runs while a full sync ends")
        }
    }

    private func countRecord() {
        // The position stays before a record that the task stops at, even if the stop itself cannot be noted.
        if case .failure = halt { return }
        position.nextLSN += 1
        batch.endRecord()
        progress.decoded(next: nextLSN)
        if let refresher, refresher.dueLSN <= nextLSN, canWriteRefreshes { refresher.writeDue() }
    }

    // MARK: The snapshot

    private var openSnapshot: SnapshotPhase {
        guard let snapshot else { preconditionFailure("a flow that is a journal has no values") }
        return snapshot
    }

    func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {
        openSnapshot.string(head, key: key, value: value)
    }

    func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) { openSnapshot.value(head, key: key, body: body) }

    func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {
        openSnapshot.begin(head, key: key, stream: stream)
    }

    func value(_ event: borrowing ValueEvent, stream: ChunkStreamID) { openSnapshot.append(event, stream: stream) }

    func auxiliaryField(name: RawSpan, value: RawSpan) {
        if name.isText("df-ver") {
            let text = value.withUnsafeBytes { String(decoding: $0.prefix(64), as: UTF8.self) }
            masterVersion = text
            guard let version = SourceVersion(text) else { return }
            let source = SourceBehaviour(version: version)
            stages.rewrite.source = source
            memberTTLs?.source = source
        } else if name.isText("shard-id") {
            guard let shard = parseInteger(value), shard == Int64(flow.index) else {
                return fail(.undecodable, "the flow carries another shard: its shard-id is not \(flow)")
            }
        } else if name.isText("shard-count") {
            guard let count = parseInteger(value), count == Int64(flowCount) else {
                return fail(.undecodable, "the master's shard-count is not the \(flowCount) flows it announced")
            }
        } else if name.isText("lua"), value.byteCount > 0 {
            batch.append("SCRIPT", "LOAD" as StaticString, value)
        }
    }

    func snapshotCompleted() { snapshot?.complete() }

    func journalOffset(_ lsn: UInt64) { position.nextLSN = lsn }

    func errorReply(_ text: RawSpan) {
        let line = text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        reports.fail(ReplicationError(SourceError.replyOnFlow(line), flow: flow))
    }

    func stableStreamBegan() {
        if !hasCompletedSnapshot { snapshotCompleted() }
        builder.beginJournal()
        snapshot = nil
        progress.decoded(next: nextLSN)
    }
}
