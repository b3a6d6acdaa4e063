import Dispatch
package import Dragonfly
import Glibc
import Link
import Logging
package import Redis
import Wire

/// Decodes one flow and applies it to the target, on one queue. The applier drives the flow's state machine.
///
/// | task | type |
/// |---|---|
/// | what is done next | `FlowStateMachine` |
/// | bytes to commands | `FlowFeed`, `FlowEncoder` |
/// | how far the target has confirmed, a batch in doubt | `CommitTracker` |
/// | a batch in parts | `BatchDelivery` |
/// | a command that is written while it is built | `LongCommandRules` |
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
    private let longCommandRules: LongCommandRules
    private let prober: ConflictProber
    private var machine: FlowStateMachine
    private var progress: AppliedProgress
    private var silence: SilenceWatch
    private var unrecordedTTLs = FailurePeriod()
    private var connecting: Task<Void, Never>?
    private var probing: Task<Void, Never>?
    private var quietWaiters = Waiters()
    private var drainWaiters = Waiters()

    /// - Throws: `SystemError` if there is no room for what the flow must remember.
    package init(
        flow: FlowID, start: FlowStart, intake: Intake, context: FlowContext, profile: TargetProfile,
        onEvent: @escaping @Sendable (FlowEvent) -> Void
    ) throws {
        self.flow = flow
        self.intake = intake
        self.context = context
        self.onEvent = onEvent
        executor = QueueExecutor(label: "df2redis.apply.\(flow)")
        encoder = try FlowEncoder(flow: flow, start: start, context: context, profile: profile)
        feed = FlowFeed(intake: intake, decoder: start.decoder, progress: context.progress(flow))
        if let cluster = context.cluster {
            target = ClusterTarget(
                flow, context: context, cluster: cluster, resumesAt: start.isContinued ? start.next : nil,
                queue: executor.queue)
        } else {
            target = StandaloneTarget(flow, context: context, queue: executor.queue)
        }
        classifier = ReplyClassifier(context, encoder.reports, encoder.memberTTLs)
        delivery = BatchDelivery(context: context, classifier: classifier)
        longCommandRules = LongCommandRules(flow, limits: context.targetLimits)
        prober = ConflictProber(flow, context: context)
        var commits = CommitTracker(flow, context: context)
        if let mark = start.mark { commits.setResumePoint(mark, repeating: start.mayRepeat) }
        machine = FlowStateMachine(flow: flow, commits: commits, targetRunID: context.targetRunID)
        progress = AppliedProgress(flow, start, context: context, onEvent: onEvent)
        silence = SilenceWatch(limit: context.silenceLimit)
    }

    /// Connects to the target. The flow's bytes may already be arriving.
    ///
    /// - Throws: `TargetError`; `ReplicationError` if the target does not hold the session's position.
    package func start() async throws {
        target.onEvent = { [weak self] event in self?.assumeIsolated { $0.handle(event) } }
        let finding = try await target.open(isolation: self)
        if case .changed(let reason) = machine.commits.resolveStart(finding) {
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
            switch machine.next(batchState, at: .now) {
            case .wait: return noteIdle()
            case .wake(let wait): resume(after: wait)
            case .decode: decode()
            case .send: send()
            case .sendAgain(let batch): perform(delivery.begin(batch))
            case .begin: begin()
            case .grow: target.batchGrew()
            case .seal: sealGrowing()
            case .connect(let plan): connect(plan)
            case .confirmInDoubt(let batch): completed(batch, .applied([]))
            case .resend(let batch, let evidence, let words):
                perform(delivery.resend(batch, evidence, words: words))
            case .failLong(let batch, let error): machine.fail(longCommandRules.lost(batch, error))
            case .probe: askForKeys()
            case .prepareDatabases:
                for database in encoder.takeUnreportedDatabases() { onEvent(.reachedDatabase(flow, database)) }
            case .report(let event): onEvent(event)
            case .becameQuiet: quietWaiters.resumeAll()
            case .drained: drainWaiters.resumeAll()
            }
        }
    }

    private var batchState: FlowStateMachine.BatchState {
        .init(
            isFull: encoder.isBatchFull, isInCommand: encoder.batch.isInCommand,
            hasContent: !encoder.batch.isEmpty || encoder.batch.progress.records > 0
                || (encoder.isStable && !progress.hasSentPosition),
            mayFollow: mayFollow)
    }

    /// Whether the encoder's batch can be sent before the result of the batches on their way is known.
    private var mayFollow: Bool {
        guard encoder.isBatchUnordered else { return false }
        return encoder.batch.bytes.count <= min(target.room, context.targetLimits.limits.safeBatchBytes)
    }

    private func noteIdle() {
        if machine.isAtRest, !batchState.hasContent { context.progress(flow).nothingIsPending() }
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
        encoder.oldestSent = machine.oldestOnItsWay?.sentAt
        encoder.writeRefreshes(at: context.clock())
        let isMore = feed.decodeMore(into: encoder)
        if !isMore, encoder.halt == nil { encoder.adjustDeadlines(oldestArrival: nil) }
        if encoder.hasCompletedSnapshot { progress.snapshotCompleted() }
        machine.decoded(pauseOfDecoding(isMore: isMore))
    }

    private func pauseOfDecoding(isMore: Bool) -> FlowStateMachine.Decoded {
        if encoder.isGateClosed { return .databases }
        if let halt = encoder.halt { return .halted(halt) }
        return isMore ? .more : .nothingMore
    }

    // MARK: Batches

    private func send() {
        if mustWaitForPace() { return }
        let isFollowing = machine.isSending
        let batch = sealCurrent()
        guard isFollowing else { return perform(delivery.begin(batch)) }
        batch.sentAt = .now
        machine.joined(batch, at: .now)
        target.deliver(batch)
    }

    /// Begins to write a batch that is still being built. If the batch with its long command would exceed the target's
    /// limit, the commands before the long one are sent first in a batch of their own; in a cluster always.
    private func begin() {
        if mustWaitForPace() { return }
        let batch = encoder.batch
        let database = encoder.selectedDatabase ?? 0
        if context.cluster != nil, let before = batch.takeCommandsBeforeLongOne(in: database) {
            machine.seal(before)
            return perform(delivery.begin(before))
        }
        if let before = longCommandRules.takeCommandsAhead(in: batch, database: database) {
            machine.seal(before)
            return perform(delivery.begin(before))
        }
        machine.began(batch)
        batch.sentAt = .now
        target.deliver(batch)
    }

    private func mustWaitForPace() -> Bool {
        guard let wait = context.pacer?.wait(toSend: encoder.batch.operationCount) else { return false }
        machine.mustPace()
        resume(after: wait)
        return true
    }

    private func sealGrowing() {
        _ = sealCurrent()
        machine.sealed()
        target.batchGrew()
    }

    private func sealCurrent() -> CommandBatch {
        let batch = encoder.endBatch(flowBytes: feed.decodedBytes)
        if encoder.isStable { progress.hasSentPosition = true }
        batch.mayHaveBeenApplied = machine.noteBatch(endingAt: batch.progress.nextLSN)
        machine.seal(batch)
        let limit = context.targetLimits.limits.safeBatchBytes
        encoder.setBatchBytes(min(target.batchBytes, limit == .max ? .max : limit / 2))
        return batch
    }

    private func perform(_ step: BatchDelivery.Step) {
        switch step {
        case .deliver(let batch):
            guard machine.isActive else { return }
            if !batch.isSealed {
                batch.progress.flowBytes = max(batch.progress.flowBytes, context.progress(flow).appliedBytes)
                machine.seal(batch)
            }
            let now = ContinuousClock.now
            machine.sent(batch, at: now)
            batch.sentAt = now
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
        case .unavailable(let error): machine.targetUnavailable(error)
        case .available: machine.targetAvailable()
        case .failed(let error): machine.fail(error)
        }
        pump()
    }

    private func completed(_ batch: CommandBatch, _ outcome: BatchOutcome) {
        if machine.isFollowed, !outcome.isApplied { return machine.heldBack() }
        switch classifier.verdict(on: outcome, of: batch) {
        case .applied(let failure):
            // Report the failure before the batch's progress: a migration that this batch completes must not end as if all
            // were well.
            if let failure {
                machine.fail(failure)
                sendReports()
            }
            machine.confirm(batch)
            encoder.refresher?.confirmed(batch.progress)
            encoder.reports.confirmed(batch.progress)
            progress.applied(batch, masterVersion: encoder.masterVersion)
            // The commands of a part of a batch, or of a batch sent to a cluster's nodes, may still be needed.
            let isOver = context.cluster == nil && !delivery.isInParts
            perform(delivery.delivered())
            if isOver { encoder.reuse(batch) }
            sweepRemaining()
        case .refused(let commands): perform(delivery.refused(commands, of: batch))
        case .runsRefused(let reason):
            if encoder.writeSingleStrings() {
                context.logger.notice(
                    "the target refuses MSET, so strings are written one by one from here on: \(reason)",
                    metadata: ["flow": "\(flow)"])
            }
            perform(delivery.runsRefused(of: batch))
        case .temporarilyRefused(let reason): machine.temporarilyRefused(batch, reason)
        case .failed(let error): machine.fail(error)
        }
    }

    /// Sends pending reports at once, before anything that follows them.
    private func sendReports() {
        while let event = machine.takeReport() { onEvent(event) }
    }

    // MARK: The link

    private func connect(_ plan: ReconnectPlan) {
        target.close()
        connecting = Task {
            do {
                let supervisor = LinkSupervisor(
                    target, retry: context.retry, locator: context.connector.settings.locator)
                var reported = ""
                let found = try await supervisor.connect(plan, isolation: self) { reason in
                    machine.connectingFailed(reason)
                    let isNewReason = reason.needsOperator && reason.message != reported
                    if isNewReason { reported = reason.message }
                    context.logger.log(
                        level: isNewReason ? .warning : .debug, "the target is still away: \(reason)",
                        metadata: ["flow": "\(flow)"])
                    sendReports()
                }
                if let found { machine.linkUp(found.finding, isAtFirstAttempt: found.isAtFirstAttempt) }
            } catch {
                machine.fail(ReplicationError(error, flow: flow))
            }
            pump()
        }
    }

    // MARK: Answers

    private func askForKeys() {
        let questions = encoder.questions
        if questions.isEmpty { return }
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

    /// Lets the flow write to `database`, which the session has prepared.
    package func open(_ database: UInt32) {
        encoder.open(database)
        guard machine.isActive else { return }
        machine.decoded(pauseOfDecoding(isMore: true))
        pump()
    }

    /// The position after the global command at which the flow waits.
    package var positionAfterGlobal: LSN { LSN(encoder.nextLSN + 1) }

    /// See `FlowTarget`.
    func nodeMarking(next: LSN?) -> NodeMarking? { target.nodeMarking(next: next) }
    func nodesMarked(_ masters: [MarkedMaster]) { target.nodesMarked(masters) }
    func hasFoundNodesComplete() async -> Bool { await target.hasFoundNodesComplete(isolation: self) }

    /// Continues after the global command, which has been applied together with the checkpoints of all flows.
    package func resumeAfterGlobal() {
        guard machine.globalDone(next: positionAfterGlobal) else { return }
        target.globalCommandDone(next: positionAfterGlobal)
        encoder.resumeAfterGlobal()
        context.progress(flow).applied(next: encoder.nextLSN, keys: 0, records: 0, bytes: feed.decodedBytes)
        pump()
    }

    // MARK: Time

    /// Does every half second what is due even if nothing arrives.
    private nonisolated func tick(_ count: Int) {
        let begun = ContinuousClock.now
        queue.asyncAfter(deadline: .now() + .milliseconds(500)) { [weak self] in
            guard let self else { return }
            let isLate = begun.duration(to: .now) > .seconds(2)
            if self.assumeIsolated({ $0.ticked(count, isLate: isLate) }) { self.tick(count + 1) }
        }
    }

    /// - Parameter isLate: whether the process was held up. Bytes that arrived meanwhile may still be in its sockets.
    private func ticked(_ count: Int, isLate: Bool) -> Bool {
        if case .closed = machine.state { return false }
        noteUnrecordedTTLs()
        if machine.isCaughtUp {
            encoder.oldestSent = machine.oldestOnItsWay?.sentAt
            encoder.adjustDeadlines(oldestArrival: nil)
        }
        if count % 2 == 1, !isLate { sweep() }
        pump()
        return true
    }

    private func noteUnrecordedTTLs() {
        let failure = encoder.expiryGuard?.keyExpiries.takeFailure()
        switch unrecordedTTLs.note(hasFailed: failure != nil, at: .now) {
        case .begun:
            context.logger.error(
                "TTLs cannot be recorded, and are unprotected until they can (look at the disk under stateDir): \(failure.map { "\($0)" } ?? "")",
                metadata: ["flow": "\(flow)"])
        case .over:
            context.logger.notice(
                "no TTL has failed to be recorded for \(FailurePeriod.quietTime.components.seconds) s",
                metadata: ["flow": "\(flow)"])
        case nil: break
        }
    }

    /// Removes elements whose TTLs the target cannot keep and which are due, but never ahead of the stream: a command that
    /// waits to be applied may have extended a TTL in time.
    private func sweep() {
        if machine.isFlowing { encoder.sweepElements(upTo: feed.oldestWaiting ?? context.clock()) }
    }

    /// Sweeps again at once if the last sweep has left some elements.
    private func sweepRemaining() {
        guard let memberTTLs = encoder.memberTTLs, memberTTLs.wantsSweep else { return }
        memberTTLs.wantsSweep = false
        sweep()
    }

    /// Checks that the applier gets its turn and, in that turn, how long the target has been silent. An applier that waits
    /// for its target does not hang: its queue answers.
    package nonisolated var probe: QueueProbe {
        QueueProbe("the applier of flow \(flow)", queue: queue) { [weak self] in
            self?.assumeIsolated { $0.noteSilence() }
        }
    }

    private func noteSilence() {
        target.followMove()
        let time = target.silence
        context.progress(flow).target(silentFor: time)
        if machine.isConnecting { return }
        switch silence.update(time) {
        case .silent:
            let who =
                target.silentNode.map { "the target's node \($0)" } ?? "the target \(context.connector.settings.place)"
            machine.targetUnavailable(TargetError(.notReady, "\(who) has been silent for \(time.components.seconds) s"))
        case .heard: machine.targetAvailable()
        case nil: return
        }
        sendReports()
    }

    // MARK: Orders

    /// Lets the applier acknowledge records at once on the flow's own connection.
    package func acknowledge(on connection: FlowConnection) { progress.connection = connection }

    /// Notes that the source was at `end` after the session had begun: records before `end` may be old.
    package func setCatchUpEnd(_ end: LSN) {
        machine.setCatchUpEnd(end)
        encoder.setCatchUpEnd(end.value)
    }

    /// Advances the flow's mark, because another part has written to the target outside the stream.
    func noteOutOfStreamWrite() {
        progress.hasSentPosition = false
        machine.bytesAvailable()
        pump()
    }

    /// Passes the flow's refresher to `body`.
    ///
    /// - Returns: `nil` if the flow has no refresher, has ended or is not in the stable stream.
    func refresh<R: Sendable>(_ body: @Sendable (FlowRefresher) -> R) -> R? {
        guard let refresher = encoder.refresher, machine.isActive, encoder.isStable else { return nil }
        defer {
            // A value that has been read may be due at the stream's current position.
            machine.bytesAvailable()
            pump()
        }
        return body(refresher)
    }

    /// Waits until nothing is on its way, and sends nothing until `release`.
    func quiesce() async {
        machine.quiesce()
        pump()
        if machine.isComingToRest { await withCheckedContinuation { quietWaiters.add($0) } }
    }

    func release() {
        machine.release()
        pump()
    }

    /// Waits until everything received has been applied, or until `limit` has passed.
    ///
    /// - Returns: `true` if everything has been applied.
    package func drain(within limit: Duration) async -> Bool {
        machine.bytesAvailable()
        machine.drain()
        pump()
        if machine.isDraining {
            executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
                self?.assumeIsolated {
                    $0.machine.stopDraining()
                    $0.drainWaiters.resumeAll()
                }
            }
            await withCheckedContinuation { drainWaiters.add($0) }
        }
        return machine.isAtRest && !batchState.hasContent && feed.isEmpty
    }

    /// Whether something received can still be applied, now or when the target is back.
    package var hasMore: Bool { machine.hasMore(batchState, isEmpty: feed.isEmpty) }

    package func close() async {
        let isAtRest = machine.isAtRest && !batchState.hasContent && feed.isEmpty
        machine.close()
        pump()
        encoder.expiryGuard?.keyExpiries.close()
        if isAtRest { await target.retire(isolation: self) }
        target.close()
        // Commands that these tasks still sent would reach the target after the session has left it, or during the next
        // session.
        connecting?.cancel()
        probing?.cancel()
        await connecting?.value
        await probing?.value
        await prober.close(isolation: self)
        target.close()
        await target.join(isolation: self)
        drainWaiters.resumeAll()
        quietWaiters.resumeAll()
    }
}

// MARK: - Queries by the session

extension FlowApplier {
    package var hasElementExpiries: Bool { encoder.memberTTLs?.isEmpty == false }

    var placement: KeyPlacement { encoder.placement }

    /// Databases that the flow has written to.
    package var databases: Set<UInt32> { encoder.databases }

    /// Keys of df2redis' own that an unfinished value has left in the target.
    package var partialKeys: [(database: UInt32, key: [UInt8])] { encoder.partialKeys }

    package var snapshotCounts: (expired: Int, conflicts: Int) { encoder.reports.counts }

    /// Whether the flow has failed or is closed, so that nothing is sent any more.
    var hasEnded: Bool { !machine.isActive }
}
