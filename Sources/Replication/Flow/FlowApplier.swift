import Dispatch
package import Dragonfly
import Glibc
import Link
import Logging
package import Redis
import Wire

/// What an applier reports to the session.
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

/// Decodes one flow and applies it, on one queue: drives the flow's state machine.
///
/// | what | who |
/// |---|---|
/// | what is done next | `FlowStateMachine` |
/// | bytes to commands | `FlowFeed`, `FlowEncoder` |
/// | how far the target has confirmed, a batch in doubt | `CommitLog` |
/// | a batch in parts | `BatchDelivery` |
/// | the target's connection | `FlowTarget`, `LinkSupervisor` |
/// | unexpected replies | `ReplyClassifier` |
/// | keys that a conflict policy protects | `ConflictProber` |
package actor FlowApplier {
    private let executor: QueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    nonisolated var queue: DispatchQueue { executor.queue }

    package nonisolated let flow: FlowID
    package nonisolated let intake: Intake
    private let context: FlowContext
    private let onEvent: @Sendable (FlowEvent) -> Void
    let encoder: FlowEncoder
    private let feed: FlowFeed
    private let target: any FlowTarget
    private let classifier: ReplyClassifier
    private let delivery: BatchDelivery
    private let prober: ConflictProber
    private var machine: FlowStateMachine
    private var progress: AppliedProgress
    private var silence: SilenceWatch
    private var connecting: Task<Void, Never>?
    private var probing: Task<Void, Never>?
    private var quietWaiters: [CheckedContinuation<Void, Never>] = []
    private var drainWaiters: [CheckedContinuation<Void, Never>] = []

    /// - Throws: `SystemError`, when there is no room for what the flow has to remember.
    package init(
        flow: FlowID, start: FlowStart, intake: Intake, context: FlowContext, profile: TargetProfile,
        onEvent: @escaping @Sendable (FlowEvent) -> Void
    ) throws {
        self.flow = flow
        self.intake = intake
        self.context = context
        self.onEvent = onEvent
        executor = QueueExecutor(label: "df2redis.apply.\(flow)")
        encoder = FlowEncoder(
            flow: flow, context: context, profile: profile, nextLSN: start.isContinued ? start.next : nil)
        feed = FlowFeed(intake: intake, decoder: start.decoder, progress: context.progress(flow))
        if let cluster = context.cluster {
            target = ClusterTarget(
                flow, context: context, cluster: cluster, resumesAt: start.isContinued ? start.next : nil,
                queue: executor.queue)
        } else {
            target = StandaloneTarget(flow, context: context, queue: executor.queue)
        }
        classifier = ReplyClassifier(context: context, encoder: encoder)
        delivery = BatchDelivery(context: context, classifier: classifier)
        prober = ConflictProber(flow, context: context)
        var log = CommitLog(flow, context: context)
        if let next = start.next { log.setResumePoint(next, repeating: start.mayRepeat) }
        machine = FlowStateMachine(flow: flow, log: log, targetRunID: context.targetRunID)
        progress = AppliedProgress(flow, start, context: context, onEvent: onEvent)
        silence = SilenceWatch(limit: context.silenceLimit)
        try encoder.begin(start)
    }

    /// Connects to the target; the flow's bytes may already be arriving.
    ///
    /// - Throws: `TargetError`; `ReplicationError` when the target's position is not the session's.
    package func start() async throws {
        target.onEvent = { [weak self] event in self?.assumeIsolated { $0.handle(event) } }
        let finding = try await target.open(isolation: self)
        if case .changed(let reason) = machine.log.resolveStart(finding) {
            throw ReplicationError(.targetChanged, flow: flow, reason)
        }
        machine.linkUp(finding, isAtFirstAttempt: true)
        intake.setDataHandler { [weak self] in
            guard let self else { return }
            self.executor.queue.async {
                self.assumeIsolated {
                    $0.machine.bytesAvailable()
                    $0.pump()
                }
            }
        }
        tick(0)
        pump()
    }

    // MARK: The pump

    private func pump() {
        while true {
            switch machine.next(fill, at: .now) {
            case .wait: return rest()
            case .wake(let wait): resume(after: wait)
            case .decode: decode()
            case .send: send()
            case .begin: begin()
            case .grow: target.batchGrew()
            case .seal: sealGrowing()
            case .connect(let plan): connect(plan)
            case .settle(let batch): completed(batch, .applied([]))
            case .resend(let batch, let evidence, let words):
                take(delivery.resend(batch, evidence, words: words))
            case .failLong(let batch, let error): machine.fail(longCommandLost(batch, error))
            case .probe: askForKeys()
            case .prepareDatabases:
                for database in encoder.gate?.takeUntold() ?? [] { onEvent(.reachedDatabase(flow, database)) }
            case .report(let event): onEvent(event)
            case .becameQuiet: Self.resume(&quietWaiters)
            case .drained: Self.resume(&drainWaiters)
            }
        }
    }

    private var fill: FlowStateMachine.Fill {
        .init(
            isFull: encoder.isBatchFull, isInCommand: encoder.batch.isInCommand,
            hasContent: !encoder.batch.isEmpty || encoder.batch.progress.records > 0
                || (encoder.isStable && !progress.hasSentPosition))
    }

    private func rest() {
        if machine.isAtRest, !fill.hasContent { context.progress(flow).nothingIsPending() }
    }

    private func resume(after wait: Duration) {
        executor.queue.asyncAfter(deadline: .now() + wait.secondsAsDouble) { [weak self] in
            self?.assumeIsolated {
                $0.machine.resume()
                $0.pump()
            }
        }
    }

    private func decode() {
        let isMore = feed.decodeMore(into: encoder)
        if !isMore, encoder.halt == nil { encoder.adjustDeadlines(oldestArrival: nil) }
        if encoder.hasCompletedSnapshot { progress.snapshotCompleted() }
        machine.decoded(pauseOfDecoding(isMore: isMore))
    }

    private func pauseOfDecoding(isMore: Bool) -> FlowStateMachine.Decoded {
        if encoder.gate?.isClosed == true { return .databases }
        if let halt = encoder.halt { return .halted(halt) }
        return isMore ? .more : .nothingMore
    }

    // MARK: Batches

    private func send() {
        if let wait = context.pacer?.wait(toSend: encoder.batch.commandCount) {
            machine.mustPace()
            return resume(after: wait)
        }
        take(delivery.begin(sealCurrent()))
    }

    /// A batch is written while it is being built; what comes before its long command goes ahead where both together are
    /// over the target's limit.
    private func begin() {
        if let wait = context.pacer?.wait(toSend: encoder.batch.commandCount) {
            machine.mustPace()
            return resume(after: wait)
        }
        let batch = encoder.batch
        if context.cluster != nil, let before = batch.takeCommandsBeforeLongOne(in: 0) {
            machine.seal(before)
            return take(delivery.begin(before))
        }
        if let limit = context.targetLimits.limits.transactionBytes, let command = batch.hugeCommand,
            batch.bytes.count + command.argumentBytes + TargetLimits.frameBytes > limit,
            let before = batch.takeCommandsBeforeLongOne(in: encoder.selectedDatabase ?? 0)
        {
            machine.seal(before)
            return take(delivery.begin(before))
        }
        machine.began(batch)
        target.deliver(batch)
    }

    private func sealGrowing() {
        _ = sealCurrent()
        machine.sealed()
        target.batchGrew()
    }

    private func sealCurrent() -> CommandBatch {
        encoder.prepareForCheckpoint()
        if encoder.isStable {
            encoder.batch.progress.nextLSN = encoder.nextLSN
            progress.hasSentPosition = true
        }
        let batch = encoder.takeBatch()
        batch.progress.flowBytes = feed.decodedBytes
        batch.mayHaveBeenApplied = machine.isRepeating(to: batch.progress.nextLSN)
        encoder.expiry?.book.seal(next: batch.progress.nextLSN ?? 0)
        machine.seal(batch)
        return batch
    }

    private func take(_ step: BatchDelivery.Step) {
        switch step {
        case .deliver(let batch):
            guard machine.isActive else { return }
            if !batch.isSealed {
                batch.progress.flowBytes = max(batch.progress.flowBytes, context.progress(flow).appliedBytes)
                machine.seal(batch)
            }
            machine.sent(batch, at: .now)
            target.deliver(batch)
        case .done: machine.completed()
        case .failed(let error): machine.fail(error)
        }
    }

    private func handle(_ event: FlowTargetEvent) {
        switch event {
        case .completed(let batch, let outcome): completed(batch, outcome)
        case .lost(let error): machine.linkLost(error, losses: delivery.losses)
        case .hasRoom: machine.hasRoom()
        case .away(let error): machine.lost(error)
        case .back: machine.found()
        case .failed(let error): machine.fail(error)
        }
        pump()
    }

    private func completed(_ batch: CommandBatch, _ outcome: BatchOutcome) {
        switch classifier.verdict(on: outcome, of: batch) {
        case .applied(let failure):
            // Reported before the batch's progress: a migration that this batch completes must not end as if all were well.
            if let failure {
                machine.fail(failure)
                report()
            }
            machine.confirm(batch)
            progress.applied(batch, masterVersion: encoder.masterVersion)
            take(delivery.delivered())
            sweepRest()
        case .refused(let commands): take(delivery.refused(commands, of: batch))
        case .turnedAway(let reason): machine.turnedAway(batch, reason)
        case .failed(let error): machine.fail(error)
        }
    }

    /// Reports go out before what follows them.
    private func report() {
        while let event = machine.takeReport() { onEvent(event) }
    }

    // MARK: The link

    private func connect(_ plan: ReconnectPlan) {
        target.close()
        connecting = Task {
            do {
                let supervisor = LinkSupervisor(target, retry: context.retry)
                let found = try await supervisor.connect(plan, isolation: self) { reason in
                    machine.connectingFailed(reason)
                    context.logger.debug("the target is still away: \(reason)", metadata: ["flow": "\(flow)"])
                    report()
                }
                if let found { machine.linkUp(found.finding, isAtFirstAttempt: found.isAtFirstAttempt) }
            } catch {
                machine.fail(ReplicationError(error, flow: flow))
            }
            pump()
        }
    }

    /// The session ends, and the next one knows the command by its size.
    private func longCommandLost(_ batch: CommandBatch, _ error: TargetError) -> ReplicationError {
        let name = batch.hugeCommand.map { "\($0.label) of \($0.argumentBytes) bytes," } ?? "a value"
        if let command = batch.hugeCommand {
            context.targetLimits.lost(
                command.label, argumentBytes: command.argumentBytes, isBlamed: error.blamesRequest)
        }
        return .init(.targetChanged, flow: flow, "\(error), in the middle of \(name) too large to send again")
    }

    // MARK: Answers

    private func askForKeys() {
        guard let questions = encoder.conflicts?.questions, !questions.isEmpty else { return }
        probing = Task {
            do {
                let existing = try await prober.existing(questions, isolation: self)
                if let failure = classifier.conflicts(existing) { machine.fail(failure) }
                if machine.isActive {
                    encoder.resumeAfterQuestions(existing: existing)
                    machine.decoded(pauseOfDecoding(isMore: true))
                }
            } catch {
                machine.fail(ReplicationError(error, flow: flow))
            }
            pump()
        }
    }

    /// The session has prepared the database.
    package func open(_ database: UInt32) {
        encoder.gate?.open(database)
        guard machine.isActive else { return }
        machine.decoded(pauseOfDecoding(isMore: true))
        pump()
    }

    /// The position after the global command that the flow waits at.
    package var positionAfterGlobal: LSN { LSN(encoder.nextLSN + 1) }

    /// The global command has been applied, with the checkpoints of all flows.
    package func resumeAfterGlobal() {
        guard machine.globalDone(next: positionAfterGlobal) else { return }
        target.globalCommandDone(next: positionAfterGlobal)
        encoder.resumeAfterGlobal()
        context.progress(flow).applied(next: encoder.nextLSN, keys: 0, records: 0, bytes: feed.decodedBytes)
        pump()
    }

    // MARK: Time

    /// Each half second: what comes up while nothing arrives.
    private nonisolated func tick(_ count: Int) {
        queue.asyncAfter(deadline: .now() + .milliseconds(500)) { [weak self] in
            guard let self else { return }
            if self.assumeIsolated({ $0.ticked(count) }) { self.tick(count + 1) }
        }
    }

    private func ticked(_ count: Int) -> Bool {
        if case .closed = machine.state { return false }
        if let failure = encoder.expiry?.book.takeFailure() {
            context.logger.error(
                "TTLs cannot be noted, and are not protected meanwhile: \(failure)", metadata: ["flow": "\(flow)"])
        }
        if machine.isCaughtUp { encoder.adjustDeadlines(oldestArrival: nil) }
        if count % 2 == 1 { sweep() }
        pump()
        return true
    }

    /// Ends elements whose TTLs the target cannot keep: what is due goes, and never ahead of the stream, since a command
    /// that waits to be applied may have extended a TTL in time.
    private func sweep() {
        guard machine.isFlowing else { return }
        let time = (feed.oldestWaiting ?? context.clock()) + context.clockSkew
        encoder.sweepElements(until: time - ElementExpiry.transitMilliseconds - ElementExpiry.marginMilliseconds)
    }

    /// The last sweep has left some: at once again.
    private func sweepRest() {
        guard encoder.wantsSweep else { return }
        encoder.wantsSweep = false
        sweep()
    }

    /// Whether the applier gets its turn; and, in it, how long the target has been silent. An applier that waits for its
    /// target has not hung: its queue answers.
    package nonisolated var probe: QueueProbe {
        QueueProbe("the applier of flow \(flow)", queue: queue) { [weak self] in
            self?.assumeIsolated { $0.noteSilence() }
        }
    }

    private func noteSilence() {
        let time = target.silence
        context.progress(flow).target(silentFor: time)
        if machine.isConnecting { return }
        switch silence.update(time) {
        case .silent:
            let peer = context.connector.settings.endpoint
            machine.lost(
                TargetError(.notReady, "the target \(peer) has been silent for \(time.components.seconds) s"))
        case .heard: machine.found()
        case nil: return
        }
        report()
    }

    // MARK: Orders

    /// Records may be acknowledged at once on the flow's own connection.
    package func acknowledge(on connection: FlowConnection) { progress.connection = connection }

    /// The source was at `end` after the session had begun: what lies before may be old.
    package func catchesUp(until end: LSN) {
        machine.repeats(until: end)
        encoder.catchesUpUntil = end.value
    }

    /// Waits until nothing is on its way, and keeps it so until `release`.
    func quiesce() async {
        machine.quiesce()
        pump()
        if machine.isComingToRest { await withCheckedContinuation { quietWaiters.append($0) } }
    }

    func release() {
        machine.release()
        pump()
    }

    /// Waits until everything received has been applied, or until `limit` has passed.
    ///
    /// - Returns: `true` when it has been applied.
    package func drain(within limit: Duration) async -> Bool {
        machine.bytesAvailable()
        machine.drain()
        pump()
        if machine.isDraining {
            executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
                self?.assumeIsolated {
                    $0.machine.stopDraining()
                    Self.resume(&$0.drainWaiters)
                }
            }
            await withCheckedContinuation { drainWaiters.append($0) }
        }
        return machine.isAtRest && !fill.hasContent && feed.isEmpty
    }

    /// Something received can still be applied: now, or when the target is back.
    package var hasMore: Bool { machine.hasMore(fill, isEmpty: feed.isEmpty) }

    package func close() async {
        let isAtRest = machine.isAtRest && !fill.hasContent && feed.isEmpty
        machine.close()
        pump()
        encoder.expiry?.book.close()
        if isAtRest { await target.retire(isolation: self) }
        target.close()
        // What they may still send would meet the next session, or a target that has been left.
        connecting?.cancel()
        probing?.cancel()
        await connecting?.value
        await probing?.value
        await prober.close(isolation: self)
        target.close()
        await target.join(isolation: self)
        Self.resume(&drainWaiters)
        Self.resume(&quietWaiters)
    }

    private static func resume(_ waiters: inout [CheckedContinuation<Void, Never>]) {
        for waiter in waiters { waiter.resume() }
        waiters = []
    }
}

// MARK: - What the session looks at

extension FlowApplier {
    package var hasElementExpiries: Bool { encoder.book?.isEmpty == false }

    /// Databases that the flow has written to.
    package var databases: Set<UInt32> { encoder.databases }

    /// Keys of our own that an unfinished value has left in the target.
    package var partialKeys: [(database: UInt32, key: [UInt8])] { encoder.partialKeys }

    package var snapshotCounts: (expired: Int, conflicts: Int) { (encoder.expiredKeys, encoder.conflictingKeys) }

    /// Those of `keys` that this flow has not brought.
    package func notBrought(_ keys: [[UInt8]], database: UInt32) -> [[UInt8]] {
        // Where not all of them could be remembered, none may be removed.
        guard let synced = encoder.synced, synced.failure == nil else { return [] }
        return keys.filter { synced.lacks($0, database: database) }
    }

    /// Nothing is sent any more.
    var hasEnded: Bool { !machine.isActive }
}
