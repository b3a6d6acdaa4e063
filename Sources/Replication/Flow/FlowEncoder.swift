import Base
import Dragonfly
import Redis
import Wire

/// Turns a flow's bytes into commands for the target: the decoder's sink, which fills batches.
///
/// A journal record passes through a line of stages (`FlowStages`), and a value of the snapshot through `SnapshotPhase`.
/// The encoder does what both have in common: it counts records, knows why decoding halts and when a batch is full.
///
/// Lives on its applier's queue.
final class FlowEncoder: FlowSink {
    /// Why decoding must stop until somebody acts.
    enum Halt {
        /// A global command, before and after which all flows meet.
        case global(GlobalCommand, transactionID: UInt64)
        /// The source was emptied during the snapshot, so the full sync must begin again.
        case restart(GlobalCommand)
        /// The target must be asked for keys (`ConflictStage`).
        case questions
        case failure(ReplicationError)
    }

    /// The limit for adjusted deadlines in a batch, in bytes, while more waits to be decoded. It leaves most of a batch to
    /// the stream.
    static let deadlineBytes = BatchBuilder.batchBytes / 4

    let flow: FlowID
    let reports: EncoderReports
    /// Knows the synced keys, for code that removes keys which the source no longer has.
    var reconcile: ReconcileStage { stages.reconcile }
    var memberTTLs: MemberTTLStage? { stages.memberTTLs }
    var expiryGuard: ExpiryGuard? { stages.expiryGuard }
    var placement: KeyPlacement { stages.ownership.placement }
    private(set) var masterVersion: String?

    private let stages: FlowStages
    private let builder: BatchBuilder
    private let position: StreamPosition
    /// The snapshot's state; `nil` once the flow has reached the stable stream.
    private var snapshot: SnapshotPhase?
    private let flowCount: Int
    private let sourceClock: SourceClock
    private let progress: FlowProgress
    /// Writes values that are read at the source; `nil` if none are read.
    let refresher: FlowRefresher?
    /// Whether the batch already holds a sweep. A batch holds at most one.
    private var hasSwept = false
    /// When the oldest batch on its way to the target was sent; `nil` if none is on its way.
    var oldestSent: ContinuousClock.Instant?

    /// - Throws: `SystemError` if there is no room for what the flow must remember.
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

    // MARK: Progress

    var batch: CommandBatch { builder.batch }
    var selectedDatabase: UInt32? { builder.selectedDatabase }
    /// Databases that this flow has written to.
    var databases: Set<UInt32> { builder.databases }
    var halt: Halt? { reports.halt }
    /// Whether the flow has reached the stable stream.
    var isStable: Bool { builder.isJournal }
    /// Whether all values of the snapshot have arrived.
    var hasCompletedSnapshot: Bool { snapshot?.isComplete ?? true }
    /// The LSN of the next record; 0 until the flow has announced it.
    var nextLSN: UInt64 { position.nextLSN }

    var isPaused: Bool { reports.isHalted || isGateClosed || isBatchFull }

    /// Whether the batch must be sent before more is decoded.
    var isBatchFull: Bool { builder.isFull }

    /// Keys of df2redis' own under which values were being built, with their databases.
    var partialKeys: [(database: UInt32, key: [UInt8])] { snapshot?.partialKeys ?? [] }

    // MARK: Batches

    /// Ends the batch, which brings the flow to `flowBytes` and to the current position, and begins the next one.
    func endBatch(flowBytes: UInt64) -> CommandBatch {
        builder.prepareForCheckpoint()
        hasSwept = false
        let batch = builder.takeBatch()
        if isStable { batch.progress.nextLSN = nextLSN }
        batch.progress.flowBytes = flowBytes
        expiryGuard?.keyExpiries.seal(next: batch.progress.nextLSN ?? 0)
        return batch
    }

    /// Takes back a batch that is applied and whose commands nobody needs any more.
    func reuse(_ batch: CommandBatch) { builder.reuse(batch) }

    /// Sets the size of batches that are sent one at a time. It is never less than for a near target.
    func setBatchBytes(_ bytes: Int) { builder.orderedBatchBytes = max(bytes, BatchBuilder.batchBytes) }

    /// Whether the batch so far may be sent while other unordered batches are on their way.
    var isBatchUnordered: Bool { batch.isUnordered && snapshot?.isComplete == false }

    /// Writes each string with a command of its own, from the next batch on.
    ///
    /// - Returns: `false` if strings were already written one by one.
    func writeSingleStrings() -> Bool { builder.writeSingleStrings() }

    // MARK: Databases

    /// Whether the session has to prepare a database first.
    var isGateClosed: Bool { builder.isGateClosed }

    /// Returns databases that the session has not been asked to prepare yet.
    func takeUnreportedDatabases() -> [UInt32] { builder.gate?.takeUnreported() ?? [] }

    func open(_ database: UInt32) { builder.gate?.open(database) }

    // MARK: Time

    /// Notes that the bytes decoded next arrived between `oldest` and `newest`, in Unix milliseconds by df2redis' clock.
    func setArrival(newest: Int64, oldest: Int64) {
        let skew = sourceClock.skew
        position.setArrival(newest: newest + skew, oldest: oldest + skew)
        stages.rewrite.setOldestArrival(oldest + skew)
    }

    /// Notes that records before `end` may have been written long before they arrived.
    func setCatchUpEnd(_ end: UInt64) { position.catchUpEnd = end }

    /// Adjusts the target's deadlines to the lag.
    ///
    /// - Parameters:
    ///   - oldestArrival: the Unix time in milliseconds at which the oldest waiting bytes arrived; `nil` if nothing waits
    ///     to be decoded.
    ///   - limit: the size of the batch in bytes at which no more deadlines are added.
    func adjustDeadlines(oldestArrival: Int64?, limit: Int = BatchBuilder.batchBytes) {
        guard let expiryGuard, !batch.isInCommand, halt == nil else { return }
        expiryGuard.updateLag(
            oldestArrival: oldestArrival, unconfirmed: oldestSent.map { $0.duration(to: .now).milliseconds } ?? 0,
            isInFullSync: !isStable)
        let count = batch.commandCount
        expiryGuard.writeDeadlines(to: batch, limit: limit) { builder.select($0) }
        batch.noteOutsideStream(from: count)
    }

    /// Removes elements whose TTLs had passed before the source did anything that arrived at `time`, by df2redis' clock.
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

    /// The keys that the target must be asked for.
    var questions: [ConflictStage.Place] { snapshot?.conflicts?.questions ?? [] }

    /// Continues after the target has said which of the keys in question it has.
    func resumeAfterQuestions(existing: [ConflictStage.Place]) {
        guard case .questions = halt else { return }
        reports.resume()
        snapshot?.conflicts?.resolve(existing: existing) { write($0, at: $1) }
    }

    /// Continues after the global command has been applied to the target.
    func resumeAfterGlobal() {
        reports.resume()
        refresher?.seeFlush()
        countRecord()
    }

    // MARK: Values that were read at the source

    /// Writes the values that have been read at the source and are valid at this position, between two records.
    ///
    /// - Parameter now: the Unix time in milliseconds, by df2redis' clock.
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
        // The position stays before a record at which the task stops, even if the stop itself cannot be noted.
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
