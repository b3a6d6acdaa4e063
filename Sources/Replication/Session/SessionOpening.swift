import Dragonfly
import Link
import Logging
import Redis

/// Opens a session in numbered steps, from the target's greeting to the first byte of the flows.
///
/// A step throws if it fails or if the session is leaving. The results of the earlier steps are stored in the session's
/// parts, where the leave finds them (`SessionLeaving`). `SyncProgress.step` names the current step.
@SessionActor
final class SessionOpening {
    /// The difference of the two clocks from which on it is logged.
    private static let reportedSkewMilliseconds: Int64 = 1000
    /// This covers many requests. Each has its own limit, which it may need if a slow source has many flows.
    private static let stepLimit = Duration.seconds(600)

    private let scope: SessionScope
    private let databases: TaskDatabases
    private let reconciliation: ReconciliationRun
    private let globals: GlobalCommands
    private let reactions: TargetReactions
    private let ttls: SessionTTLs
    private let logger: Logger

    init(
        _ scope: SessionScope, databases: TaskDatabases, reconciliation: ReconciliationRun, globals: GlobalCommands,
        reactions: TargetReactions, ttls: SessionTTLs
    ) {
        self.scope = scope
        self.databases = databases
        self.reconciliation = reconciliation
        self.globals = globals
        self.reactions = reactions
        self.ttls = ttls
        logger = scope.task.logger
    }

    private var settings: ReplicatorSettings { scope.task.settings }

    /// - Throws: the error of the step that failed: `TargetError`, `SourceError`, `SystemError`, `ReplicationError`.
    func run() async throws {
        // 1. One process runs the task, and no earlier process of it is connected to the target.
        try begin(.claimTask)
        let claim = try await scope.task.lease.claim()
        // 2. Find out what the target is, what it allows, and what it holds of this task.
        try begin(.learnTarget)
        let checkpoint = try await learnTarget(claim)
        // 3. Decide where to resume, or why a full sync is needed.
        try begin(.decideResume)
        let plan = try await decideResume(checkpoint)
        // 4. The source answers, and its answer may still be a full sync.
        try begin(.handshake)
        let source = try await handshake(plan)
        // 5. The target learns what the session will do before anything is applied.
        try begin(.prepareTarget)
        try await prepareTarget(claim, checkpoint, plan, source.session)
        // 6. Each flow gets an intake and an applier.
        try begin(.buildFlows)
        try await buildFlows(claim, checkpoint, plan, source)
        // 7. The flows connect to the target and the readers start; then the source is asked to send.
        try begin(.beginSync)
        try await beginSync(source.master, databases: claim.task.databases)
    }

    /// - Throws: `CancellationError` if the operator wants to leave.
    private func begin(_ step: OpeningStep) throws {
        try Task.checkCancellation()
        scope.sync.enter(step)
        scope.health.begin("opening the session, \(step.place)", atMost: Self.stepLimit)
        logger.debug("opening: \(step.place)", metadata: ["phase": "connecting"])
        scope.reportPhase()
    }

    // MARK: 2 The target

    private func learnTarget(_ claim: TaskLease.Claim) async throws -> CheckpointStore.Opening {
        let (task, profile, figures) = (scope.task, claim.profile, claim.target.figures)
        let databaseCount = claim.target.databaseCount
        task.targetLimits.configure(profile.limits)
        let checkpoint = try await task.checkpointStore.open(
            claim.task.checkpoint, held: claim.task.databases.filter { $0 != 0 || claim.task.hasMarkInFirst },
            on: scope.control, targetRunID: profile.runID)
        for loss in claim.rights.losses { task.incidents.reportOnce(loss, level: .warning) }
        reactions.begin(await task.targetWatch.findings(in: figures, roundTrip: claim.target.roundTrip))
        let others = claim.task.others
        task.incidents.report(others)
        scope.target.learn(profile, claim.rights, databaseCount: databaseCount, hasOtherTasks: !others.isEmpty)
        guard !checkpoint.isCutOver else {
            throw ReplicationError(
                .cutOver,
                "this task has been cut over: clients write to the target since, and to follow the source again would "
                    + "overwrite what they have written. To follow it all the same: \(settings.undoCommand)"
            )
        }
        databases.learn(checkpoint)
        logger.log(
            level: scope.history.isRepeatedAttempt ? .debug : .info,
            "target \(settings.target.place) is \(profile), \(counted(Int(databaseCount), "database"))",
            metadata: ["phase": "connecting"])
        return checkpoint
    }

    // MARK: 3 Resume or full sync

    private struct Plan {
        /// `nil` for a full sync.
        var resumePoint: ResumePoint?
        /// Why the session must not resume at the checkpoint's position.
        var blocker: FullSyncReason?
        /// How often the source's clients had called certain commands before; `nil` if the source does not report it.
        var calls: SourceCalls?
    }

    private func decideResume(_ checkpoint: CheckpointStore.Opening) async throws -> Plan {
        var plan = Plan()
        guard settings.mode == .replicate else { return plan }
        // If the source is not reachable, the handshake gives the better error.
        plan.calls = try? await scope.source.inspector.calls()
        var blocker = scope.history.resumeBlocker
        if blocker == nil {
            blocker = try await checkpoint.emptied(
                of: scope.task.checkpointKey, in: settings.checkpoint.store, on: scope.control)
        }
        let decision = ResumeDecision(checkpoint, calls: plan.calls, blocker: blocker)
        (plan.resumePoint, plan.blocker) = (decision.position, decision.blocker)
        return plan
    }

    // MARK: 4 The source

    private struct Source {
        var master: MasterSession
        var session: SessionStateMachine.Session
        var modes: [SessionStateMachine.FlowMode]
    }

    private func handshake(_ plan: Plan) async throws -> Source {
        let (master, session, modes) = try await scope.source.open(at: plan.resumePoint)
        scope.sync.setFullSync(modes.first != .partial)
        logger.info(
            "source \(settings.source.endpoint): \(session.flowCount) flows, replication id \(session.replicationID), session \(session.syncID)",
            metadata: ["phase": "connecting"])
        let skew = master.sourceClock.skew
        if abs(skew) > Self.reportedSkewMilliseconds {
            logger.warning(
                "the source's clock is \(abs(skew)) ms \(skew > 0 ? "ahead of" : "behind") ours, which is allowed for; the target, if its clock is not the source's, expires keys early or late",
                metadata: ["phase": "connecting"])
        }
        return Source(master: master, session: session, modes: modes)
    }

    // MARK: 5 The target, prepared

    private func prepareTarget(
        _ claim: TaskLease.Claim, _ checkpoint: CheckpointStore.Opening, _ plan: Plan,
        _ session: SessionStateMachine.Session
    ) async throws {
        let known = (checkpoint.databases ?? []).union(checkpoint.filling.keys)
        try await scope.task.lease.claimSource(
            session.replicationID, filling: settings.policy.scope(over: known))
        let beginning = try beginning(checkpoint, plan, session)
        if scope.sync.isFullSync {
            try await reconciliation.countBefore(session.replicationID, over: checkpoint.source)
        }
        try await scope.task.checkpointStore.begin(
            beginning, checkpoint, targetRunID: claim.profile.runID, on: scope.control)
        try await ttls.beginImportMode(claim)
    }

    private func beginning(
        _ checkpoint: CheckpointStore.Opening, _ plan: Plan, _ session: SessionStateMachine.Session
    ) throws -> CheckpointStore.Beginning {
        guard scope.sync.isFullSync else {
            guard let position = plan.resumePoint else { preconditionFailure("it resumes at a position") }
            return .continuing(position)
        }
        let history = scope.history
        let reason = FullSyncReason(
            checkpoint, replicationID: session.replicationID, flowCount: session.flowCount,
            hasFollowed: history.hasFollowed, resumeBlocker: plan.blocker)
        if let reason, settings.mode == .replicate {
            logger.warning("a full sync is needed: \(reason)", metadata: ["event": "resync"])
        }
        if let wait = history.pacing.wait() {
            throw ReplicationError(
                .postponed, "\(history.pacing.reason): the next one begins in \(wait.milliseconds) ms")
        }
        scope.task.counters.fullSyncBegan(reason)
        if settings.takesOwnKeysForOthers(after: checkpoint) {
            throw ReplicationError(
                .policy,
                "this task has written to the target before, and conflict.policy cannot tell its keys from others: set it to "
                    + "overwrite, or fullSync.existing to flush, or empty the target")
        }
        databases.beginFullSync()
        if settings.existing == .auto { databases.reportShared() }
        reconciliation.decide(wasPending: checkpoint.isReconciling)
        return .fullSync(replicationID: session.replicationID, isReconciling: reconciliation.isPending)
    }

    // MARK: 6 The flows

    private func buildFlows(
        _ claim: TaskLease.Claim, _ checkpoint: CheckpointStore.Opening, _ plan: Plan, _ source: Source
    ) async throws {
        let (flows, profile) = (scope.flows, claim.profile)
        flows.learn(source.session)
        scope.task.positions.follow(flows.progress)
        globals.expect(flowCount: source.session.flowCount)
        let resume = scope.sync.isFullSync ? nil : plan.resumePoint
        var context = context(profile, source)
        context.targetEvictsMarks = claim.target.figures.evictsMarks
        var starts = try await starts(
            source, resume: resume, mayRepeat: mayRepeat(after: checkpoint), databases: claim.task.databases)
        if resume != nil {
            for index in starts.indices {
                starts[index].outOfStreamCount = outOfStreamCount(FlowID(index), in: checkpoint)
            }
            scope.task.refreshes?.resume(
                at: starts.compactMap(\.mark), isOfFile: settings.checkpoint.store != .target)
        }
        let budget = SpoolBudget(memoryBytes: settings.memoryBytes, diskBytes: settings.diskBytes)
        for (index, start) in starts.enumerated() {
            flows.add(
                try FlowApplier(
                    flow: FlowID(index), start: start,
                    intake: Intake(budget: budget, spoolDirectory: settings.spoolDirectory, clock: settings.clock),
                    context: context, profile: profile,
                    onEvent: { [events = scope.events] in events.report(.flow($0)) }))
        }
        prepareDataSetWatch(checkpoint.note, plan.calls)
        scope.health.watch(flows.appliers.map(\.probe))
    }

    /// The number of batches beside the stream that the target has, from the checkpoint. 0 if a file keeps the position,
    /// because then a target that has lost writes gets a full sync.
    private func outOfStreamCount(_ flow: FlowID, in checkpoint: CheckpointStore.Opening) -> UInt64 {
        guard settings.checkpoint.store == .target else { return 0 }
        return scope.task.checkpointKey.outOfStreamCount(flow, in: checkpoint.fields)
    }

    /// Whether records may be applied again. In a cluster, the progress after the position is known only slot by slot, so
    /// some records are repeated.
    private func mayRepeat(after checkpoint: CheckpointStore.Opening) -> Bool {
        checkpoint.mayRepeat || settings.target.cluster != nil
    }

    private func context(_ profile: TargetProfile, _ source: Source) -> FlowContext {
        let task = scope.task
        var connector = TargetConnector(settings: settings.target)
        connector.usesImportMode = ttls.isInImportMode
        connector.databaseCount = scope.target.databaseCount
        return FlowContext(
            task: settings.task, policy: ttls.policy, session: source.session,
            targetDatabases: scope.target.databaseCount, connector: connector, incidents: task.incidents,
            logger: logger, allProgress: scope.flows.progress, retry: settings.retry,
            silenceLimit: settings.targetSilence, checkpoint: settings.checkpoint,
            keepsPosition: settings.mode == .replicate, targetRunID: profile.runID,
            targetLimits: task.targetLimits, counters: task.counters, refreshes: task.refreshes,
            consumedStreams: task.operatorRequests.streams,
            batchCommands: settings.batchCommands,
            pacer: settings.commandsPerSecond.map { CommandPacer(commandsPerSecond: $0) },
            directory: settings.spoolDirectory, clock: settings.clock, sourceClock: source.master.sourceClock,
            expiryMarginMilliseconds: expiryMargin(source.master.sourceClock))
    }

    /// How each flow starts.
    ///
    /// - Parameter databases: the target's databases that hold keys.
    private func starts(
        _ source: Source, resume: ResumePoint?, mayRepeat: Bool, databases held: [UInt32]
    ) async throws -> [FlowStart] {
        let isFullSync = scope.sync.isFullSync
        let elementKeys = try await ttls.elementsTakenOver(flowCount: source.session.flowCount, in: held)
        let expiry = try await ttls.prepareDeadlines(source.session, resume: resume)
        return source.modes.enumerated().map { index, mode in
            var start = FlowStart(mode: mode, next: resume?.nextLSNs[index])
            start.mayRepeat = mayRepeat
            start.openDatabases = isFullSync ? [] : databases.known
            if isFullSync, reconciliation.isPending || scope.target.hasOtherTasks {
                start.keyFolder = settings.spoolDirectory
            }
            start.areKeysEssential = reconciliation.isPending
            if isFullSync, settings.policy.onConflict != .overwrite { start.conflictFolder = settings.spoolDirectory }
            start.elementKeys = elementKeys[index]
            start.expiry = expiry(FlowID(index))
            return start
        }
    }

    /// The tolerance for comparing deadlines in the journal with the current time. If the source does not report its time,
    /// its clock may be off by more than the setting allows, so the tolerance has a minimum.
    private func expiryMargin(_ clock: SourceClock) -> Int64 {
        let margin = settings.expiryMargin.milliseconds
        return clock.isMeasured ? margin : max(margin, JournalRewriter.expiryMarginMilliseconds)
    }

    private func prepareDataSetWatch(_ note: DataSetNote?, _ calls: SourceCalls?) {
        guard settings.mode == .replicate else { return }
        let task = scope.task
        scope.dataSets.prepare(
            DataSetWatch(
                inspector: scope.source.inspector, control: task.control(role: "counts"),
                checkpoint: task.checkpointKey, registry: task.registry, progress: scope.flows.progress,
                appliers: scope.flows.appliers, incidents: task.incidents, checkpointStore: task.checkpointStore,
                judge: DataSetJudge(note: scope.sync.isFullSync ? nil : note ?? DataSetNote(), callsBefore: calls),
                missingKeys: task.refreshes.map {
                    MissingKeys(
                        $0, verifierRecord: settings.verifier == nil ? nil : task.verifierRecord,
                        verification: settings.verifier == nil ? nil : task.operatorRequests.verificationAtWork,
                        logger: logger)
                },
                logger: logger, onDifference: { [events = scope.events] in events.report(.dataReplaced($0)) }))
    }

    // MARK: 7 The sync

    /// Connects the flows and asks the source to send.
    ///
    /// - Parameter databases: the target's databases that hold keys.
    private func beginSync(_ master: MasterSession, databases held: [UInt32]) async throws {
        // The flows connect before the source is asked, so that a target which refuses them costs the source no snapshot,
        // however often this is repeated.
        try await connectFlows(held)
        let (sync, flows, counters) = (scope.sync, scope.flows, scope.task.counters)
        // The key count is only for showing progress. If the source does not report it, just the percentage is missing.
        if sync.isFullSync {
            counters.sourceHas(keys: try? await scope.source.inspector.keyCount())
            scope.task.refreshes?.fullSyncBegins()
        }
        let readsGroups = flows.behaviour.has(.readsGroupsWithoutRecord)
        scope.task.operatorRequests.streams.begin(isNeeded: readsGroups, isFullSync: sync.isFullSync)
        sync.enterSync()
        logger.notice(
            sync.isFullSync ? "full sync begins" : "resuming at the checkpoint",
            metadata: ["phase": "\(sync.phase.rawValue)", "event": sync.isFullSync ? "fullSyncBegun" : "stable"])
        let resumes = try await master.begin(receivers: flows.appliers.map(\.intake))
        let connections = await master.flows
        flows.setConnections(connections)
        scope.health.watch(connections.map { QueueProbe("the reader of flow \($0.flow)", queue: $0.queue) })
        if let queue = await master.mainQueue {
            scope.health.watch([QueueProbe("the connection to the source", queue: queue)])
        }
        sync.markBegun()
        counters.sessionBegan()
        if resumes {
            try await reportCatchUpEnd()
            sync.enterStable()
            await scope.dataSets.start()
            scope.startRefreshing { [databases] in databases.removable }
            for (applier, progress) in zip(flows.appliers, flows.progress) {
                await scope.source.startAcknowledging(applier, progress)
            }
        }
        scope.task.notice(.ready(scope.status))
    }

    /// Connects all flows to the target concurrently, so that a distant target takes no longer for many flows than for one.
    ///
    /// - Parameter databases: the target's databases that hold keys.
    /// - Throws: `ReplicationError`.
    private func connectFlows(_ databases: [UInt32]) async throws {
        do {
            async let survey: Void = surveyDatabases(databases)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for applier in scope.flows.appliers { group.addTask { try await applier.start() } }
                try await group.waitForAll()
            }
            try await survey
        } catch {
            throw ReplicationError(error).during(.opening(.buildFlows))
        }
    }

    /// Surveys the target's databases, and removes what an earlier session has left of elements' TTLs.
    ///
    /// - Parameter databases: the databases that hold keys.
    private func surveyDatabases(_ databases: [UInt32]) async throws {
        if ttls.takesOverElements { return }
        let control = scope.control
        let reserved = ReservedKeys(checkpoint: scope.task.checkpointKey.name, isInCluster: control.isInCluster)
        let survey = try await DatabaseSurvey(of: databases, task: settings.task, excluding: reserved, on: control)
        scope.target.learn(survey)
        try await ttls.forgetOldElements(in: survey?.withElementLists ?? databases)
    }

    /// Sets where catching up ends for the flows: at the source's current LSNs. Records that earlier sessions applied or left
    /// waiting are all before them.
    private func reportCatchUpEnd() async throws {
        let appliers = scope.flows.appliers
        let ends = try await scope.source.inspector.nextLSNs(flowCount: appliers.count)
        for (applier, end) in zip(appliers, ends) { await applier.setCatchUpEnd(end) }
    }
}
