import Dispatch
package import Dragonfly
import Glibc
import Link
import Logging
package import Redis
import Wire

/// What an applier tells the replicator.
package enum FlowEvent: Sendable {
    /// The snapshot of this flow is decoded: FULLSYNC_END.
    case snapshotCompleted(FlowID)
    /// The end of the snapshot is applied; the flow is a journal from here on.
    case stable(FlowID, masterVersion: String?)
    /// The flow is about to write to a database for the first time, and waits for leave to do it.
    case reachedDatabase(FlowID, UInt32)
    /// Everything before a global command is applied; the flow waits for the others.
    case reachedGlobal(FlowID, GlobalCommand, transactionID: UInt64)
    /// FLUSHALL or FLUSHDB inside the snapshot.
    case mustRestart(FlowID, GlobalCommand)
    case targetLost(FlowID, TargetError)
    case targetFound(FlowID)
    case failed(ReplicationError)
}

/// Decodes one flow and applies it: intake, decoder, encoder and the flow's connection to the target, on one queue.
package actor FlowApplier {
    /// Records after which the position is acknowledged at once (Protocol 4.5).
    private static let recordsPerAcknowledgement = 1024
    /// How long a batch waits for more after the one before was sent.
    private static let linger = DispatchTimeInterval.milliseconds(1)

    let executor: QueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    nonisolated var queue: DispatchQueue { executor.queue }

    package nonisolated let flow: FlowID
    package nonisolated let intake: Intake
    let context: FlowContext
    let onEvent: @Sendable (FlowEvent) -> Void
    let encoder: FlowEncoder
    var judge: ReplyJudge { ReplyJudge(context: context, encoder: encoder) }
    let feed: FlowFeed
    var link: TransactionLink?
    var lostLink: TransactionLink?

    var batchNumber: UInt64 = 0
    /// What the checkpoint must hold if the batch in flight has not been applied.
    var confirmedCheckpoint: String?
    /// Records before it may have been applied by an earlier session.
    var repeatsUntil: LSN?
    var sealedNext: UInt64 = 0
    /// The batch whose fate was open when the connection broke.
    var orphan: CommandBatch?
    /// The batch that is being delivered, if it is in parts.
    var parts: BatchInParts?
    /// How the connection ended that carried the batch in doubt; `nil`: it was given up by us.
    var loss: TargetError?
    /// The target's process at the last connection.
    var servingRunID: String
    /// A loss has been reported.
    var didReportLoss = false
    var state = State.running
    /// Where it goes on once the target is back.
    var stateBehindReconnect = State.running
    /// How often the target has turned the batch away in a row, for a reason that passes.
    var refusals = 0
    /// The attempt to reach the target again.
    var reconnecting: Task<Void, Never>?
    /// The question for the keys that a conflict policy protects.
    var asking: Task<Void, Never>?
    var askingConnection: RequestConnection?
    /// A silent target has been told as lost.
    var hasToldSilence = false
    private var toldSnapshotCompleted = false
    private var hasSentPosition = false
    private var lastSend = DispatchTime(uptimeNanoseconds: 1)
    private var isLingering = false
    private var isPacing = false
    /// Nothing is sent while the reconciler looks at the target.
    var isHeld = false
    var holdWaiters: [CheckedContinuation<Void, Never>] = []
    private var toldStable = false
    private var recordsSinceAcknowledgement = 0
    private var onManyRecords: (@Sendable () -> Void)?
    var drainWaiters: [CheckedContinuation<Void, Never>] = []

    enum State {
        case running
        /// At a global command; `told` once everything before it is applied.
        case atGlobal(GlobalCommand, UInt64, told: Bool)
        case reconnecting
        case failed
        case closed
    }

    /// - Parameter mode: how the master answered this flow; `next`: where a continued one begins.
    package init(
        flow: FlowID, mode: SessionStateMachine.FlowMode, next: LSN?, intake: Intake, context: FlowContext,
        profile: TargetProfile, onEvent: @escaping @Sendable (FlowEvent) -> Void
    ) {
        self.flow = flow
        self.intake = intake
        self.context = context
        self.onEvent = onEvent
        servingRunID = context.targetRunID
        executor = QueueExecutor(label: "df2redis.apply.\(flow)")
        switch mode {
        case .full(let token):
            feed = FlowFeed(
                intake: intake, decoder: FlowDecoder(snapshotToken: token), progress: context.progress(flow))
            encoder = FlowEncoder(flow: flow, context: context, profile: profile, nextLSN: nil)
        case .partial:
            feed = FlowFeed(
                intake: intake, decoder: FlowDecoder(journalWithMaxRecordBytes: 1 << 30),
                progress: context.progress(flow))
            encoder = FlowEncoder(flow: flow, context: context, profile: profile, nextLSN: next)
            toldSnapshotCompleted = true
            hasSentPosition = true
            toldStable = true
            if let next { context.progress(flow).continues(at: next.value) }
        }
    }

    /// Connects to the target; the flow's bytes may already be arriving.
    ///
    /// - Throws: `TargetError`.
    package func start(onManyRecords: @escaping @Sendable () -> Void) async throws {
        self.onManyRecords = onManyRecords
        try await connect(replacing: true)
        try await checkPosition()
        intake.setDataHandler { [weak self] in
            guard let self else { return }
            self.executor.queue.async { self.assumeIsolated { $0.pump() } }
        }
        sweepEachSecond()
        pump()
    }

    // MARK: The pump

    /// Decodes and sends until there is nothing to decode, or the target has to catch up.
    func pump() {
        while step() {}
        if !holdWaiters.isEmpty { finishHold() }
        finishDrainIfDone()
    }

    /// - Returns: `false` when something has to happen first: data, a reply, room in a socket, a decision.
    private func step() -> Bool {
        guard case .running = state, let link, !link.hasFailed else {
            if case .atGlobal = state { return stepToGlobal() }
            return false
        }
        tellPhases()
        if isHeld, link.isIdle { return false }
        if encoder.gate?.isClosed == true {
            tellDatabases()
            return false
        }
        if let halt = encoder.halt { return halted(halt) }
        let batch = encoder.batch
        let isBeingWritten = link.batch === batch
        if encoder.isBatchFull {
            if isBeingWritten {
                if batch.isInCommand {
                    link.batchGrew()
                    return batch.bytes.count < FlowEncoder.batchBytes
                }
                sealCurrent()
                link.batchGrew()
                return true
            }
            guard link.isIdle, mayBegin(batch) else { return false }
            if batch.isInCommand { sendLong(batch) } else { send() }
            return true
        }
        if feed.decodeMore(into: encoder) { return true }
        if encoder.halt != nil { return true }
        encoder.adjustDeadlines(oldestArrival: nil)
        if isBeingWritten {
            guard !batch.isInCommand else {
                link.batchGrew()
                return false
            }
            sealCurrent()
            link.batchGrew()
            return false
        }
        guard link.isIdle, !batch.isInCommand else { return false }
        if hasSomethingToSend { sendSoon() } else { context.progress(flow).nothingIsPending() }
        return false
    }

    /// Sends what there is at once when the flow was quiet; in a busy one it waits a moment for more, since each
    /// transaction costs both sides a turn.
    private func sendSoon() {
        let now = DispatchTime.now()
        let due = lastSend + Self.linger
        if now >= due || !drainWaiters.isEmpty {
            if mayBegin(encoder.batch) { send() }
            return
        }
        guard !isLingering else { return }
        isLingering = true
        executor.queue.asyncAfter(deadline: due) { [weak self] in
            self?.assumeIsolated {
                $0.isLingering = false
                $0.pump()
            }
        }
    }

    /// - Returns: `false` when the batch has to wait for its turn; it is tried again then.
    private func mayBegin(_ batch: CommandBatch) -> Bool {
        guard !isPacing else { return false }
        guard let wait = context.pacer?.wait(toSend: batch.commandCount) else { return true }
        isPacing = true
        executor.queue.asyncAfter(deadline: .now() + wait.secondsAsDouble) { [weak self] in
            self?.assumeIsolated {
                $0.isPacing = false
                $0.pump()
            }
        }
        return false
    }

    /// The position behind the snapshot is stored even when no record follows it.
    var hasSomethingToSend: Bool {
        !encoder.batch.isEmpty || encoder.batch.progress.records > 0 || (encoder.isStable && !hasSentPosition)
    }

    // MARK: Batches

    private func sealCurrent() {
        let batch = encoder.batch
        encoder.prepareForCheckpoint()
        if encoder.isStable {
            batch.progress.nextLSN = encoder.nextLSN
            hasSentPosition = true
        }
        batch.progress.flowBytes = feed.decodedBytes
        batch.mayHaveBeenApplied = isRepeating(to: batch.progress.nextLSN)
        encoder.expiry?.book.seal(next: batch.progress.nextLSN ?? 0)
        batch.seal(checkpoint: nextCheckpoint(batch))
        _ = encoder.takeBatch()
    }

    private func send() {
        lastSend = .now()
        let batch = encoder.batch
        sealCurrent()
        deliver(batch)
    }

    func settled(_ batch: CommandBatch, _ outcome: BatchOutcome) {
        switch outcome {
        case .applied(let irregularities):
            var failure: ReplicationError?
            for irregularity in irregularities {
                if let stop = judge.judge(irregularity, of: batch), failure == nil { failure = stop }
            }
            // Told before the batch's progress: a migration that this batch completes must not end as if all were well.
            if let failure { fail(failure) }
            applied(batch)
            if parts != nil { deliveredPart() }
            sweepRest()
        case .refused(let refusals):
            refused(batch, refusals)
        case .rejected(let text):
            if TargetError.isTransientReply(text) {
                turnedAway(batch, text)
            } else {
                fail(ReplicationError(TargetError.reply(text, to: "a transaction"), flow: flow))
            }
        }
        pump()
    }

    private func applied(_ batch: CommandBatch) {
        refusals = 0
        if parts == nil { reportFound() }
        if let value = batch.checkpointValue { confirmedCheckpoint = String(decoding: value, as: UTF8.self) }
        let progress = batch.progress
        context.progress(flow).applied(
            next: progress.nextLSN, keys: progress.keys, records: progress.records, bytes: progress.flowBytes)
        if progress.nextLSN != nil, !toldStable {
            toldStable = true
            onEvent(.stable(flow, masterVersion: encoder.masterVersion))
        }
        recordsSinceAcknowledgement += progress.records
        if recordsSinceAcknowledgement >= Self.recordsPerAcknowledgement {
            recordsSinceAcknowledgement = 0
            onManyRecords?()
        }
    }

    private func refused(_ batch: CommandBatch, _ refusals: [BatchOutcome.Irregularity]) {
        if let passing = refusals.compactMap(\.errorText).first(where: TargetError.isTransientReply) {
            return turnedAway(batch, passing)
        }
        if batch.checkpointValue != nil, let refusal = refusals.first(where: { $0.command == batch.commandCount - 1 }) {
            // Without the checkpoint nothing may be applied.
            return fail(ReplicationError(TargetError.reply(refusal.errorText ?? "", to: "the checkpoint"), flow: flow))
        }
        if let refusal = refusals.first(where: { batch.label(ofCommand: $0.command).name == "SELECT" }) {
            // Without it what follows would go to another database.
            return fail(ReplicationError(TargetError.reply(refusal.errorText ?? "", to: "SELECT"), flow: flow))
        }
        var failure: ReplicationError?
        for refusal in refusals {
            if let stop = judge.judge(refusal, of: batch), failure == nil { failure = stop }
        }
        if let failure { return fail(failure) }
        guard batch.isRetained else {
            return fail(.init(.policy, flow: flow, "the target refused part of a value too large to send again"))
        }
        if parts != nil {
            parts?.leaveOutOfPart(refusals.map(\.command))
            return sendNextPart()
        }
        let rest = batch.removing(Set(refusals.map(\.command)))
        link?.send(rest)
    }

    /// The target refuses writes for the time being: the batch is sent again later.
    private func turnedAway(_ batch: CommandBatch, _ reason: String) {
        guard batch.isRetained else {
            return fail(
                .init(.targetChanged, flow: flow, "the target refused a value too large to send again: \(reason)"))
        }
        reportLoss(TargetError(.notReady, "the target refuses writes: \(reason)"))
        refusals += 1
        loss = nil
        reconnect(with: batch)
    }

    // MARK: Phases and halts

    private func tellPhases() {
        if encoder.hasCompletedSnapshot, !toldSnapshotCompleted {
            toldSnapshotCompleted = true
            onEvent(.snapshotCompleted(flow))
        }
    }

    private func halted(_ halt: FlowEncoder.Halt) -> Bool {
        switch halt {
        case .failure(let error):
            // What was decoded before the fault is right, and is applied; then it ends.
            guard let link else { return false }
            if link.isIdle, hasSomethingToSend, !encoder.batch.isInCommand {
                if mayBegin(encoder.batch) { send() }
                return false
            }
            if link.isIdle || encoder.batch.isInCommand { fail(error) }
            return false
        case .questions:
            askAboutConflicts()
            return false
        case .restart(let global):
            state = .failed
            onEvent(.mustRestart(flow, global))
            return false
        case .global(let global, let transactionID):
            state = .atGlobal(global, transactionID, told: false)
            return true
        }
    }

    private func stepToGlobal() -> Bool {
        guard case .atGlobal(let global, let transactionID, told: false) = state, let link, link.isIdle, !isHeld else {
            return false
        }
        if hasSomethingToSend {
            if mayBegin(encoder.batch) { send() }
            return false
        }
        state = .atGlobal(global, transactionID, told: true)
        onEvent(.reachedGlobal(flow, global, transactionID: transactionID))
        return false
    }

    /// The global command has been applied, with the checkpoints of all flows.
    package func resumeAfterGlobal() {
        switch (state, stateBehindReconnect) {
        case (.atGlobal, _): state = .running
        case (.reconnecting, .atGlobal): stateBehindReconnect = .running
        default: return
        }
        confirmedCheckpoint = checkpointText(positionBehindGlobal)
        encoder.resumeAfterGlobal()
        context.progress(flow).applied(
            next: encoder.nextLSN, keys: 0, records: 0, bytes: feed.decodedBytes)
        pump()
    }

    func fail(_ error: ReplicationError) {
        if hasEnded { return }
        state = .failed
        onEvent(.failed(error))
        finishDrainIfDone()
        finishHold()
    }
}
