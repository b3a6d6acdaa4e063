import Dragonfly
import Link
import Logging
import Redis

/// One session: from the target's greeting to the master's last FIN.
///
/// Events of the flows, of their connections and of the operator arrive in one stream and are handled one after the other.
actor ReplicationSession {
    enum End: Sendable {
        /// The operator asked to leave.
        case left
        /// `migrate`: every flow is applied up to the end of the snapshot.
        case completed
    }

    enum Event: Sendable {
        case flow(FlowEvent)
        case connection(FlowConnectionEvent)
        case tick
        /// Look whether what was received is applied.
        case look
        case pingFailed(any Error)
    }

    /// How long without an answer to PING on the main connection until the source counts as lost.
    private static let pingTimeout = Duration.seconds(30)
    /// Beats between two of them.
    private static let pingInterval = 5
    /// How long a leave goes on applying what was received: before its FIN and behind it together.
    static let applyLimit = Duration.milliseconds(700)
    /// Milliseconds between the source's clock and ours that are worth a line.
    private static let skewTold: Int64 = 1000
    private static let cleaningLimit = Duration.seconds(3)

    let settings: ReplicatorSettings
    private let incidents: IncidentLog
    let logger: Logger
    let notice: @Sendable (ReplicatorNotice) -> Void
    let past: SessionHistory
    let events: AsyncStream<Event>
    let post: AsyncStream<Event>.Continuation
    let control: TargetControl
    let checkpointKey: CheckpointKey
    let keeper: CheckpointKeeper
    private let watch: CheckpointWatch
    private let budget: SpoolBudget

    private(set) var master: MasterSession?
    private(set) var replicationID: String?
    private(set) var appliers: [FlowApplier] = []
    private(set) var progress: [FlowProgress] = []
    private var barrier = GlobalBarrier(flowCount: 0)
    private(set) var stableFlows: Set<FlowID> = []
    private(set) var endedFlows: Set<FlowID> = []
    var databases = TaskDatabases()
    /// This full sync removes the keys that the source no longer has.
    private(set) var isReconciling = false
    /// The stable stream has come to a database that may not be noted yet.
    var hasNewDatabases = false
    private(set) var reconciliation: Task<Void, Never>?
    private var work: Task<End, any Error>?
    private(set) var isLeaveRequested = false
    /// The target expires nothing by itself.
    private(set) var isInImportMode = false
    private(set) var isHurried = false
    var drainSleep: Task<Void, Never>?
    var phase = Phase.connecting
    /// The session has got as far as a sync.
    private(set) var hasBegun = false
    private(set) var isFullSync = false
    private var connections: [FlowConnection] = []
    /// Flows whose target does not serve.
    private var lostFlows: Set<FlowID> = []
    private var probes: [QueueProbe] = []
    /// What the coordinator is at, and how many beats it has been and may be at it.
    private var step = (name: "", beats: 0, limit: 0)
    #if DEBUG
        private var debugHang = DebugHang()
    #endif
    private var stableSince: ContinuousClock.Instant?
    /// How long it has followed the source; `nil`: it did not get so far.
    var stableTime: Duration? { stableSince?.duration(to: .now) }

    init(
        settings: ReplicatorSettings, keeper: CheckpointKeeper, incidents: IncidentLog, logger: Logger,
        past: SessionHistory,
        notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        self.settings = settings
        self.incidents = incidents
        self.logger = logger
        self.past = past
        self.notice = notice
        (events, post) = AsyncStream.makeStream(of: Event.self)
        control = TargetControl(connector: TargetConnector(settings: settings.target))
        checkpointKey = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        self.keeper = keeper
        watch = CheckpointWatch(connector: TargetConnector(settings: settings.target), key: checkpointKey)
        budget = SpoolBudget(memoryBytes: settings.memoryBytes, diskBytes: settings.diskBytes)
    }

    /// - Throws: `ReplicationError`; the session has been left by then.
    func run() async throws -> End {
        do {
            let work = Task {
                try await open()
                return try await follow()
            }
            self.work = work
            if isLeaveRequested { work.cancel() }
            let end = try await work.value
            await leave(
                because: end == .left ? "asked to" : "the snapshot is applied", applies: true, isFinal: true)
            await tellOutstandingElements()
            if end == .completed {
                await keeper.noteMigrated(on: control)
                if let folder = settings.expiryFolder { try? BookFolder.remove(folder) }
            }
            await removePartialKeys()
            await closeTarget()
            return end
        } catch {
            let error = ReplicationError(error)
            if isLeaveRequested, error.isTransient {
                // Whatever was being waited for has been given up for the sake of the leave.
                await leave(because: "asked to", applies: true, isFinal: true)
                await removePartialKeys()
                await closeTarget()
                return .left
            }
            if error.code == .overflow, phase == .stable {
                await leave(because: error.description, applies: true, closesAppliers: false)
                if let worse = await applyRestAndClose() {
                    await afterLeaving(worse)
                    await closeTarget()
                    throw worse
                }
            } else {
                await leave(because: error.description, applies: error.code != .policy && error.code != .undecodable)
            }
            await afterLeaving(error)
            await closeTarget()
            throw error
        }
    }

    private func closeTarget() async {
        await watch.close()
        await control.close()
    }

    /// The operator wants to leave; a second time: soon.
    func requestLeave() {
        isHurried = isLeaveRequested
        isLeaveRequested = true
        work?.cancel()
        if isHurried { drainSleep?.cancel() }
    }

    // MARK: Opening

    private func open() async throws {
        // Each request has a limit of its own, which a slow source with many flows may need for each.
        begin("opening the session", atMost: .seconds(600))
        let profile = try await control.profile()
        let databaseCount = try await control.databaseCount()
        if try await !control.evictPredecessors() {
            logger.warning(
                "the target forbids CLIENT LIST or CLIENT KILL to this user: after a crash, what the process before has left in the target's sockets may be applied twice",
                metadata: ["phase": "connecting"])
        }
        let opening = try await keeper.open(on: control, targetRunID: profile.runID)
        logger.info(
            "target \(settings.target.endpoint) is \(profile), \(databaseCount) databases",
            metadata: ["phase": "connecting"])

        databases = TaskDatabases(opening)
        // The databases are noted when a full sync is complete: positions without them are what idle flows of a target
        // that was emptied have written since.
        let mayResume =
            settings.mode == .replicate && !opening.isReconciling && opening.databases != nil && !past.ignoresCheckpoint
        let resume = mayResume ? opening.position : nil
        let master = MasterSession(
            settings: settings.source, resumePoint: resume, keeper: settings.keeper, clock: settings.clock,
            onEvent: { [post] in post.yield(.connection($0)) })
        self.master = master
        let (session, modes) = try await master.open()
        logger.info(
            "source \(settings.source.endpoint): \(session.flowCount) flows, replication id \(session.replicationID), session \(session.syncID)",
            metadata: ["phase": "connecting"])
        let skew = await master.clockSkew
        if abs(skew) > Self.skewTold {
            logger.warning(
                "the source's clock is \(abs(skew)) ms \(skew > 0 ? "ahead of" : "behind") ours, which is allowed for; the target, if its clock is not the source's, expires keys early or late",
                metadata: ["phase": "connecting"])
        }
        isFullSync = modes.first != .partial
        replicationID = session.replicationID
        try await prepareTarget(opening, targetRunID: profile.runID, session: session)
        isInImportMode = try await importMode.begin(profile)
        var connector = TargetConnector(settings: settings.target)
        connector.usesImportMode = isInImportMode

        let context = FlowContext(
            task: settings.task, policy: settings.policy, session: session, targetDatabases: databaseCount,
            connector: connector, incidents: incidents, logger: logger,
            allProgress: (0..<session.flowCount).map { _ in FlowProgress() }, retry: settings.retry,
            silenceLimit: settings.targetSilence, checkpoint: settings.checkpoint, targetRunID: profile.runID,
            batchCommands: settings.batchCommands,
            pacer: settings.commandsPerSecond.map { CommandPacer(commandsPerSecond: $0) },
            directory: settings.spoolDirectory, clock: settings.clock, clockSkew: skew,
            expiryMarginMilliseconds: settings.expiryMargin.milliseconds)
        progress = context.allProgress
        barrier = GlobalBarrier(flowCount: session.flowCount)
        for (index, mode) in modes.enumerated() {
            let flow = FlowID(index)
            let intake = Intake(budget: budget, spoolDirectory: settings.spoolDirectory, clock: settings.clock)
            let applier = FlowApplier(
                flow: flow, mode: mode, next: isFullSync ? nil : resume?.nextLSNs[index], intake: intake,
                context: context,
                profile: profile, onEvent: { [post] in post.yield(.flow($0)) })
            if !isFullSync, let resume {
                await applier.continues(at: resume, repeating: opening.mayRepeat)
            }
            await applier.closeDatabases(except: isFullSync ? [] : databases.known)
            if isReconciling, let directory = settings.spoolDirectory { try await applier.rememberKeys(in: directory) }
            if isFullSync, settings.policy.onConflict != .overwrite, let directory = settings.spoolDirectory {
                try await applier.guardConflicts(in: directory)
            }
            appliers.append(applier)
        }
        try await takeOverElementExpiries()
        try await guardExpiry(session, resume: isFullSync ? nil : resume)
        probes = appliers.map(\.probe)
        for applier in appliers {
            try await applier.start { [weak self] in
                guard let self else { return }
                Task { await self.acknowledgeSoon(applier.flow) }
            }
        }
        phase = isFullSync ? .fullSync : .stable
        logger.notice(
            isFullSync ? "full sync begins" : "continuing where the checkpoint stands",
            metadata: ["phase": "\(phase.rawValue)", "event": isFullSync ? "fullSyncBegun" : "stable"])
        let continues = try await master.begin(receivers: appliers.map(\.intake))
        hasBegun = true
        if continues { try await tellWhereCatchingUpEnds(isNeeded: opening.mayRepeat) }
        connections = await master.flows
        probes += connections.map { QueueProbe("the reader of flow \($0.flow)", queue: $0.queue) }
        if let queue = await master.mainQueue {
            probes.append(QueueProbe("the connection to the source", queue: queue))
        }
        if continues {
            stableSince = .now
            for applier in appliers { await startAcknowledging(applier.flow) }
        }
        notice(.ready(status))
    }

    private func prepareTarget(
        _ opening: CheckpointKeeper.Opening, targetRunID: String, session: SessionStateMachine.Session
    ) async throws {
        guard isFullSync else {
            guard let position = opening.position else { preconditionFailure("it goes on from a position") }
            return try await keeper.begin(
                .continuing(position), opening, targetRunID: targetRunID, on: control)
        }
        let reason = FullSyncReason(
            opening, session: session, hasFollowed: past.hasFollowed, ignoresCheckpoint: past.ignoresCheckpoint)
        if let reason, settings.mode == .replicate {
            logger.warning("a full sync is needed: \(reason)", metadata: ["event": "resync"])
        }
        if let wait = past.pacing.wait() {
            throw ReplicationError(
                .postponed,
                "the last \(past.pacing.failures) full syncs did not last: the next one begins in \(wait.milliseconds) ms"
            )
        }
        if settings.existing != .flush, settings.policy.onConflict != .overwrite, opening.isKnown {
            throw ReplicationError(
                .policy,
                "this task has written to the target before, and conflict.policy cannot tell its keys from others: set it to "
                    + "overwrite, or fullSync.existing to flush, or empty the target")
        }
        if settings.existing == .auto { tellSharedDatabases() }
        isReconciling =
            switch settings.existing {
            case .auto: databases.hasOwn || opening.isReconciling
            case .reconcile: true
            case .replace, .flush: false
            }
        try await keeper.begin(
            .fullSync(isReconciling: isReconciling), opening, targetRunID: targetRunID, on: control)
    }

    // MARK: Following

    private func follow() async throws -> End {
        var ticks = 0
        for await event in events {
            begin("its next event", atMost: .seconds(60))
            switch event {
            case .tick:
                ticks += 1
                if ticks % Self.pingInterval == 0 { pingSource() }
                if phase == .stable {
                    if hasNewDatabases || ticks % Self.pingInterval == 0 { try await storeDatabases() }
                    if ticks % Self.pingInterval == 0 { lookAtCheckpoint() }
                    storePosition(ticks)
                }
            case .look: break
            case .pingFailed(let error): throw error
            case .connection(.ended(let flow, let error)):
                endedFlows.insert(flow)
                throw ReplicationError(
                    .source(.unreachable), flow: flow,
                    error.map { "the source is lost: \($0)" } ?? "the source closed the flow")
            case .connection(.overflowed(let flow)):
                let cause = applier(flow).intake.failure
                throw ReplicationError(
                    .overflow, flow: flow,
                    "the target takes less than the source sends, and there is no room left for what waits: "
                        + "\(cause.map { "\($0)" } ?? "memory is spent") (raise spool.memoryBytes or spool.diskBytes)")
            case .flow(let event):
                if try await handle(event) { return .completed }
            }
        }
        return .left
    }

    /// - Returns: `true` when a migration is complete.
    func handle(_ event: FlowEvent) async throws -> Bool {
        switch event {
        case .snapshotCompleted(let flow):
            logger.info("snapshot received", metadata: ["flow": "\(flow)", "phase": "full sync"])
            begin("waiting for STARTSTABLE", atMost: settings.source.phaseTimeout + .seconds(10))
            if try await master?.snapshotCompleted(flow) == true {
                logger.info(
                    "every flow has its snapshot: the source switches to the journal", metadata: ["phase": "full sync"])
            }
        case .stable(let flow, let version):
            stableFlows.insert(flow)
            let lsn = progress[flow.index].appliedLSN.map { "\($0)" } ?? "?"
            logger.info(
                "snapshot applied: \(progress[flow.index].appliedKeys) keys",
                metadata: ["flow": "\(flow)", "phase": "full sync", "lsn": "\(lsn)"])
            if settings.mode == .replicate { await startAcknowledging(flow) }
            guard stableFlows.count == appliers.count else { return false }
            let keys = progress.reduce(0) { $0 + $1.appliedKeys }
            logger.notice(
                "full sync done: \(keys) keys from \(version ?? "the source")",
                metadata: ["phase": "full sync", "event": "fullSyncDone"])
            if settings.existing == .flush { try await emptyUnused() }
            try await storeDatabases()
            storePosition(0)
            if isReconciling, keys == 0 { try await refuseEmptySource() }
            if settings.mode == .migrate {
                // As long as the target has keys, each request with a limit of its own.
                begin("reconciling", atMost: .seconds(86_400))
                if isReconciling { try await reconcile() }
                return true
            }
            if isReconciling { beginReconciling() }
            phase = .stable
            stableSince = .now
            logger.notice("stable: following the source's journal", metadata: ["phase": "stable", "event": "stable"])
            notice(.phase(status))
        case .reachedDatabase(let flow, let database):
            try await prepare(database, for: flow)
        case .reachedGlobal(let flow, let command, let transactionID):
            try await meet(flow, command, transactionID)
        case .mustRestart(let flow, let command):
            throw ReplicationError(
                .resync, flow: flow, "the source ran \(command.name) during the full sync: it begins again")
        case .targetLost(let flow, let error):
            // One notice, not one a flow.
            let text: Logger.Message = "\(error); what arrives is kept meanwhile"
            if lostFlows.isEmpty {
                logger.warning(text, metadata: ["flow": "\(flow)", "event": "targetLost"])
            } else {
                logger.info(text, metadata: ["flow": "\(flow)"])
            }
            lostFlows.insert(flow)
        case .targetFound(let flow):
            if lostFlows.remove(flow) != nil, lostFlows.isEmpty {
                logger.notice("the target is back", metadata: ["flow": "\(flow)"])
            }
        case .failed(let error):
            throw error
        }
        return false
    }

    // MARK: Reconciling

    private func lookAtCheckpoint() {
        guard databases.areNoted, settings.checkpoint.store == .target else { return }
        Task { [post, watch] in
            guard await watch.findsItGone() else { return }
            post.yield(.flow(.failed(.checkpointGone)))
        }
    }

    private func beginReconciling() {
        reconciliation = Task {
            var attempt = 0
            while !Task.isCancelled {
                attempt += 1
                do { return try await reconcile() } catch {
                    if Task.isCancelled { return }
                    logger.warning("removing what the source no longer has: \(error); it begins again")
                    try? await Task.sleep(for: settings.retry.wait(before: attempt))
                }
            }
        }
    }

    /// Removes what the source no longer has.
    private func reconcile() async throws {
        // A connection of its own: the session's may be in the middle of a transaction.
        let own = TargetControl(connector: TargetConnector(settings: settings.target), role: "reconcile")
        let reconciler = reconciler(on: own)
        do {
            let removed = try await reconciler.run(databases: reconciledDatabases)
            for applier in appliers { await applier.forgetKeys() }
            try await keeper.noteReconciled(on: own)
            isReconciling = false
            logger.notice("reconciled: \(removed) keys removed that the source no longer has")
        } catch {
            await own.close()
            throw error
        }
        await own.close()
    }

    private func applier(_ flow: FlowID) -> FlowApplier { appliers[flow.index] }

    private func acknowledgeSoon(_ flow: FlowID) async {
        guard let master, phase != .leaving else { return }
        let flows = await master.flows
        if flow.index < flows.count { flows[flow.index].acknowledgeSoon() }
    }

    private func startAcknowledging(_ flow: FlowID) async {
        guard let master else { return }
        let flows = await master.flows
        let progress = progress[flow.index]
        if flow.index < flows.count { await flows[flow.index].startAcknowledging { progress.appliedLSN } }
    }

    private func meet(_ flow: FlowID, _ command: GlobalCommand, _ transactionID: UInt64) async throws {
        switch barrier.arrive(flow, command, transactionID: transactionID) {
        case .waiting: return
        case .mismatch(let expected, let found):
            throw ReplicationError(
                .undecodable, flow: flow, "the flows do not meet: this one is at \(found), others are at \(expected)")
        case .complete: break
        }
        let position = await positionBehindGlobal()
        let fields = checkpointFields(position)
        try await retryingTarget { [control, checkpointKey, task = settings.task] in
            try await control.run(command, task: task, checkpointKey: checkpointKey.name, fields: fields)
        }
        logger.notice("\(command.name) applied", metadata: ["phase": "\(phase.rawValue)"])
        barrier.reset()
        await keeper.store(position, isExact: false)
        for applier in appliers { await applier.resumeAfterGlobal() }
    }

    /// Repeats what may be repeated while the target is away.
    func retryingTarget<R>(_ body: () async throws -> R) async throws -> R {
        var attempt = 0
        while true {
            begin("a request to the target", atMost: .seconds(600))
            do { return try await body() } catch let error as ReplicationError {
                throw error
            } catch {
                let error = TargetError(error)
                attempt += 1
                guard error.isTransient, !isLeaveRequested, attempt < 1000 else { throw error }
                let level: Logger.Level = attempt == 1 && lostFlows.isEmpty ? .warning : .debug
                logger.log(level: level, "\(error)", metadata: ["event": "targetLost"])
                try? await Task.sleep(for: settings.retry.wait(before: attempt))
            }
        }
    }

    private func pingSource() {
        guard let master else { return }
        Task { [post] in
            do { try await master.ping(timeout: Self.pingTimeout) } catch { post.yield(.pingFailed(error)) }
        }
    }

    // MARK: Health

    /// The coordinator begins something that may take so long, or begins again.
    func begin(_ name: String, atMost limit: Duration) { step = (name, 0, Int(limit.components.seconds)) }

    /// Once a second, from the replicator.
    ///
    /// - Returns: the figures, and what hangs: queues that do not get their turn, and the coordinator if it is at
    ///   something for longer than that can take. What waits for a peer does not hang.
    func beat() -> (status: ReplicationStatus, hanging: Set<String>) {
        #if DEBUG
            if debugHang?.beat() == true { hang() }
        #endif
        post.yield(.tick)
        step.beats += 1
        var hanging = Set(probes.filter { $0.look() >= settings.hangBeats }.map(\.name))
        if step.beats > max(step.limit, settings.hangBeats) { hanging.insert("the coordinator, at \(step.name),") }
        return (status, hanging)
    }

    #if DEBUG
        private func hang() {
            switch debugHang?.part {
            case .applier: DebugHang.hang(on: appliers.first?.queue)
            case .reader: DebugHang.hang(on: connections.first?.queue)
            case .coordinator, nil: DebugHang.hang()
            }
        }
    #endif

    var status: ReplicationStatus {
        var status = ReplicationStatus(
            phase: phase, source: settings.source.endpoint.description, target: settings.target.endpoint.description)
        status.flows = zip(appliers, progress).map { applier, progress in
            let index = applier.flow.index
            return .init(
                applier.flow, progress, applier.intake,
                acknowledged: index < connections.count ? connections[index].acknowledged : nil)
        }
        status.incidents = incidents.totals
        status.fullSyncs = past.fullSyncs + (isFullSync && hasBegun ? 1 : 0)
        status.isTargetLost = !lostFlows.isEmpty
        return status
    }

    /// What the session did, for the summary.
    func contribute(to summary: inout ReplicationSummary) async {
        for applier in appliers {
            let counts = await applier.snapshotCounts
            summary.expiredKeys += counts.expired
            summary.conflictingKeys += counts.conflicts
        }
        summary.keys += progress.reduce(0) { $0 + $1.appliedKeys }
        summary.records += progress.reduce(0) { $0 + $1.appliedRecords }
        if isFullSync, hasBegun { summary.fullSyncs += 1 }
    }

    // MARK: After leaving

    /// Keys of our own under which values were being built. A target that does not answer keeps them.
    private func removePartialKeys() async {
        var keys: [(database: UInt32, key: [UInt8])] = []
        for applier in appliers { keys += await applier.partialKeys }
        guard !keys.isEmpty else { return }
        await within(Self.cleaningLimit) { [control, keys] in
            for (database, key) in keys {
                do { try await control.unlink(key, database: database) } catch { return }
            }
        }
    }

    private func afterLeaving(_ error: ReplicationError) async {
        await removePartialKeys()
        switch error.code {
        case .policy:
            // The target differs from here on: the next start must not continue as if nothing had happened.
            if isInImportMode { await importMode.end() }
            if hasBegun { await keeper.noteStopped(on: control) }
        default: break
        }
    }
}
