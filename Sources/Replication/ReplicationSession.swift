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

    private enum Event: Sendable {
        case flow(FlowEvent)
        case connection(FlowConnectionEvent)
        case tick
        case pingFailed(any Error)
    }

    /// How long without an answer to PING on the main connection until the source counts as lost.
    private static let pingTimeout = Duration.seconds(30)
    private static let pingInterval = 5
    /// How long a leave goes on applying what was received: before its FIN and behind it together.
    private static let applyLimit = Duration.milliseconds(700)

    let settings: ReplicatorSettings
    private let incidents: IncidentLog
    let logger: Logger
    private let notice: @Sendable (ReplicatorNotice) -> Void
    private let fullSyncsBefore: Int
    /// The source refuses to go on where the checkpoint stands.
    private let ignoresCheckpoint: Bool
    private let events: AsyncStream<Event>
    private let post: AsyncStream<Event>.Continuation
    let control: TargetControl
    let checkpointKey: CheckpointKey
    private let budget: SpoolBudget

    private var master: MasterSession?
    private(set) var appliers: [FlowApplier] = []
    private var progress: [FlowProgress] = []
    private var barrier = GlobalBarrier(flowCount: 0)
    private var stableFlows: Set<FlowID> = []
    private var endedFlows: Set<FlowID> = []
    /// Databases that the task has filled, as the checkpoint has them.
    private var knownDatabases: Set<UInt32> = []
    /// This full sync removes the keys that the source no longer has.
    private var isReconciling = false
    private var reconciliation: Task<Void, Never>?
    private var work: Task<End, any Error>?
    private var isLeaveRequested = false
    /// The target expires nothing by itself.
    private(set) var isInImportMode = false
    private(set) var isHurried = false
    private var drainSleep: Task<Void, Never>?
    private(set) var phase = Phase.connecting
    /// The session has got as far as a sync.
    private(set) var hasBegun = false
    private(set) var isFullSync = false

    init(
        settings: ReplicatorSettings, incidents: IncidentLog, logger: Logger, fullSyncsBefore: Int,
        ignoresCheckpoint: Bool,
        notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        self.settings = settings
        self.incidents = incidents
        self.logger = logger
        self.fullSyncsBefore = fullSyncsBefore
        self.ignoresCheckpoint = ignoresCheckpoint
        self.notice = notice
        (events, post) = AsyncStream.makeStream(of: Event.self)
        control = TargetControl(connector: TargetConnector(settings: settings.target))
        checkpointKey = CheckpointKey(task: settings.task)
        budget = SpoolBudget(memoryBytes: settings.memoryBytes, diskBytes: settings.diskBytes)
    }

    /// - Throws: `ReplicationError`; the session has been left by then.
    func run() async throws -> End {
        let ticker = Task { [post] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(1))
                post.yield(.tick)
            }
        }
        defer { ticker.cancel() }
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
            if end == .completed {
                try? await control.delete(checkpointKey.name)
                if let folder = settings.expiryFolder { try? BookFolder.remove(folder) }
            }
            await removePartialKeys()
            await control.close()
            return end
        } catch {
            let error = ReplicationError(error)
            if isLeaveRequested, error.isTransient {
                // Whatever was being waited for has been given up for the sake of the leave.
                await leave(because: "asked to", applies: true, isFinal: true)
                await removePartialKeys()
                await control.close()
                return .left
            }
            await leave(because: error.description, applies: error.code != .policy && error.code != .undecodable)
            await afterLeaving(error)
            await control.close()
            throw error
        }
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
        let profile = try await control.profile()
        let databases = try await control.databaseCount()
        if try await !control.evictPredecessors() {
            logger.warning(
                "the target forbids CLIENT LIST or CLIENT KILL to this user: after a crash, what the process before has left in the target's sockets may be applied twice",
                metadata: ["phase": "connecting"])
        }
        let stored = try await control.hash(checkpointKey.name)
        logger.info(
            "target \(settings.target.endpoint) is \(profile), \(databases) databases",
            metadata: ["phase": "connecting"])

        let record = TaskRecord(stored)
        knownDatabases = record.databases ?? []
        let mayResume = settings.mode == .replicate && !record.isReconciling && !ignoresCheckpoint
        let resume = mayResume ? ResumePoint(checkpoint: stored) : nil
        let master = MasterSession(
            settings: settings.source, resumePoint: resume, keeper: settings.keeper,
            onEvent: { [post] in post.yield(.connection($0)) })
        self.master = master
        let (session, modes) = try await master.open()
        logger.info(
            "source \(settings.source.endpoint): \(session.flowCount) flows, replication id \(session.replicationID), session \(session.syncID)",
            metadata: ["phase": "connecting"])
        isFullSync = modes.first != .partial
        try await prepareTarget(stored: stored, session: session)
        isInImportMode = try await importMode.begin(profile)
        var connector = TargetConnector(settings: settings.target)
        connector.usesImportMode = isInImportMode

        let context = FlowContext(
            task: settings.task, policy: settings.policy, session: session, targetDatabases: databases,
            connector: connector, incidents: incidents, logger: logger,
            allProgress: (0..<session.flowCount).map { _ in FlowProgress() }, retry: settings.retry)
        progress = context.allProgress
        barrier = GlobalBarrier(flowCount: session.flowCount)
        for (index, mode) in modes.enumerated() {
            let flow = FlowID(index)
            let intake = Intake(budget: budget, spoolDirectory: settings.spoolDirectory, clock: settings.clock)
            let applier = FlowApplier(
                flow: flow, mode: mode, next: isFullSync ? nil : resume?.nextLSNs[index], intake: intake,
                context: context,
                profile: profile, onEvent: { [post] in post.yield(.flow($0)) })
            if !isFullSync { await applier.setConfirmedCheckpoint(stored[checkpointKey.field(flow)]) }
            if isReconciling, let directory = settings.spoolDirectory { try await applier.rememberKeys(in: directory) }
            appliers.append(applier)
        }
        try await guardExpiry(session, resume: isFullSync ? nil : resume)
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
        if continues {
            for applier in appliers { await startAcknowledging(applier.flow) }
        }
        notice(.ready(status))
    }

    private func prepareTarget(stored: [String: String], session: SessionStateMachine.Session) async throws {
        guard isFullSync else { return }
        if let old = ResumePoint(checkpoint: stored) {
            let reason =
                old.replicationID != session.replicationID
                ? "the source is another master than the checkpoint's, or has been restarted"
                : old.nextLSNs.count != session.flowCount
                    ? "the source has another number of shards than the checkpoint"
                    : "the source's buffer no longer holds what the checkpoint asks for"
            logger.warning("a full sync is needed: \(reason)", metadata: ["event": "resync"])
        }
        if settings.existing != .flush, settings.policy.onConflict != .overwrite, !stored.isEmpty {
            throw ReplicationError(
                .policy,
                "this task has written to the target before, and conflict.policy cannot tell its keys from others: set it to "
                    + "overwrite, or fullSync.existing to flush, or empty the target")
        }
        let record = TaskRecord(stored)
        if record.isReconciling {
            logger.warning(
                "a full sync is needed: the one before was ended before it had removed what the source no longer has",
                metadata: ["event": "resync"])
        }
        isReconciling =
            switch settings.existing {
            case .auto: record.databases != nil || record.isReconciling
            case .reconcile: true
            case .replace, .flush: false
            }
        if settings.existing == .flush { try await control.flushAll() }
        let positions = stored.keys.filter { $0.hasPrefix("flow:") }
        try await control.update(
            checkpointKey.name, set: isReconciling ? [TaskRecord.reconcileField: "pending"] : [:],
            remove: Array(positions))
    }

    // MARK: Following

    private func follow() async throws -> End {
        var ticks = 0
        for await event in events {
            switch event {
            case .tick:
                ticks += 1
                tick(ticks)
                if ticks % Self.pingInterval == 0, phase == .stable { try await storeDatabases() }
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
    private func handle(_ event: FlowEvent) async throws -> Bool {
        switch event {
        case .snapshotCompleted(let flow):
            logger.info("snapshot received", metadata: ["flow": "\(flow)", "phase": "full sync"])
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
            try await storeDatabases()
            if settings.mode == .migrate {
                if isReconciling { try await reconcile() }
                return true
            }
            if isReconciling { beginReconciling() }
            phase = .stable
            logger.notice("stable: following the source's journal", metadata: ["phase": "stable", "event": "stable"])
            notice(.phase(status))
        case .reachedGlobal(let flow, let command, let transactionID):
            try await meet(flow, command, transactionID)
        case .mustRestart(let flow, let command):
            throw ReplicationError(
                .resync, flow: flow, "the source ran \(command.name) during the full sync: it begins again")
        case .targetLost(let flow, let error):
            logger.warning(
                "\(error); what arrives is kept meanwhile", metadata: ["flow": "\(flow)", "event": "targetLost"])
        case .targetFound(let flow):
            logger.notice("the target is back", metadata: ["flow": "\(flow)"])
        case .failed(let error):
            throw error
        }
        return false
    }

    // MARK: Reconciling

    /// Notes the databases that the task fills: what a later full sync looks through.
    private func storeDatabases() async throws {
        var databases = knownDatabases
        for applier in appliers { databases.formUnion(await applier.databases) }
        guard databases != knownDatabases else { return }
        do {
            try await control.update(
                checkpointKey.name, set: [TaskRecord.databasesField: TaskRecord.text(databases)], remove: [])
            knownDatabases = databases
        } catch {
            guard error.isTransient else { throw error }
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
        let reconciler = Reconciler(control: own, appliers: appliers, logger: logger)
        do {
            let removed = try await reconciler.run(databases: knownDatabases)
            for applier in appliers {
                if let failure = await applier.rememberingFailure { throw failure }
            }
            for applier in appliers { await applier.forgetKeys() }
            try await own.update(checkpointKey.name, set: [:], remove: [TaskRecord.reconcileField])
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
        var fields: [(field: String, value: String)] = []
        for applier in appliers { fields.append(await applier.checkpointBehindGlobal()) }
        try await retryingTarget { [control, checkpointKey] in
            try await control.run(command, checkpointKey: checkpointKey.name, fields: fields)
        }
        logger.notice("\(command.name) applied", metadata: ["phase": "\(phase.rawValue)"])
        barrier.reset()
        for applier in appliers { await applier.resumeAfterGlobal() }
    }

    /// Repeats what may be repeated while the target is away.
    private func retryingTarget(_ body: () async throws -> Void) async throws {
        var attempt = 0
        while true {
            do { return try await body() } catch {
                let error = TargetError(error)
                attempt += 1
                guard error.isTransient, !isLeaveRequested, attempt < 1000 else { throw error }
                logger.warning("\(error)", metadata: ["event": "targetLost"])
                try? await Task.sleep(for: settings.retry.wait(before: attempt))
            }
        }
    }

    private func tick(_ count: Int) {
        notice(.beat(status))
        guard count % Self.pingInterval == 0, let master else { return }
        Task { [post] in
            do { try await master.ping(timeout: Self.pingTimeout) } catch { post.yield(.pingFailed(error)) }
        }
    }

    var status: ReplicationStatus {
        ReplicationStatus(
            phase: phase, source: settings.source.endpoint.description, target: settings.target.endpoint.description,
            flows: zip(appliers, progress).map { applier, progress in
                .init(
                    flow: applier.flow, queuedBytes: applier.intake.queuedBytes, decodedLSN: progress.decodedLSN,
                    appliedLSN: progress.appliedLSN, keys: progress.appliedKeys, records: progress.appliedRecords,
                    appliedBytes: progress.appliedBytes)
            },
            incidents: incidents.totals, fullSyncs: fullSyncsBefore + (isFullSync ? 1 : 0))
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
        if isFullSync { summary.fullSyncs += 1 }
    }

    // MARK: Leaving

    /// FIN-first, whatever the reason: acknowledgements stop, what is in flight drains, every flow is half-closed and read
    /// to the master's FIN, then closed; the main connection last.
    ///
    /// What arrives between our FIN and the master's is applied too, as far as the time allows. Only a leave that is the
    /// last one settles TTLs: another session goes on where this one ends, and the keys are to last until then.
    private func leave(because reason: String, applies: Bool, isFinal: Bool = false) async {
        // A snapshot that is cut short is of no use to the next session, which begins with another.
        let applies = applies && (phase == .stable || stableFlows.count == appliers.count)
        phase = .leaving
        reconciliation?.cancel()
        notice(.phase(status))
        let departure = Departure(logger: logger)
        guard let master, hasBegun || !appliers.isEmpty else {
            await self.master?.close()
            for applier in appliers { await applier.close() }
            if isFinal { await settleExpiry() }
            return
        }
        logger.notice("leaving: \(reason)", metadata: ["phase": "leaving", "event": "leaving"])
        await master.stopAcknowledging()
        departure.log("acknowledgements stopped")
        let flows = await master.flows
        if applies, endedFlows.isEmpty, !isHurried {
            let sleep = Task { _ = try? await Task.sleep(for: settings.drain) }
            drainSleep = sleep
            await sleep.value
            departure.log("drained")
        }
        if !applies { for flow in flows { await flow.discard() } }
        let deadline = ContinuousClock.now + (applies ? Self.applyLimit : .zero)
        if applies { _ = await drain(until: deadline) }
        await master.halfCloseFlows()
        departure.log("FIN sent on \(flows.count) flows")
        let ends = await master.waitForMasterFIN(within: settings.finWait)
        let drained = applies ? await drain(until: deadline) : []
        for end in ends {
            let progress = progress[end.flow.index]
            let lsn = progress.appliedLSN.map { ", next LSN \($0)" } ?? ""
            if drained.contains(end.flow) {
                departure.log("everything received is applied\(lsn)", flow: end.flow)
            } else if applies {
                let rest = end.receivedBytes - min(progress.appliedBytes, end.receivedBytes)
                departure.log(
                    "\(rest) bytes received are not applied and not acknowledged\(lsn)", flow: end.flow, level: .notice)
            }
            if end.sawMasterFIN {
                departure.log("the source's FIN is here, \(end.receivedBytes) bytes received", flow: end.flow)
            } else {
                departure.log("closed without the source's FIN", flow: end.flow, level: .warning)
            }
        }
        await master.close(within: .milliseconds(200))
        for applier in appliers { await applier.close() }
        if isFinal { await settleExpiry(applies ? drained : [], departure) }
        departure.end()
    }

    /// Waits until every flow has applied what it has received, or until `deadline`.
    ///
    /// - Returns: the flows that have.
    private func drain(until deadline: ContinuousClock.Instant) async -> Set<FlowID> {
        await withTaskGroup(of: FlowID?.self) { group in
            for applier in appliers {
                group.addTask {
                    await applier.drain(within: ContinuousClock.now.duration(to: deadline)) ? applier.flow : nil
                }
            }
            var drained: Set<FlowID> = []
            for await flow in group { if let flow { drained.insert(flow) } }
            return drained
        }
    }

    /// Keys of our own under which values were being built.
    private func removePartialKeys() async {
        for applier in appliers {
            for (database, key) in await applier.partialKeys { try? await control.unlink(key, database: database) }
        }
    }

    private func afterLeaving(_ error: ReplicationError) async {
        await removePartialKeys()
        switch error.code {
        case .policy:
            // The target differs from here on: the next start must not continue as if nothing had happened.
            if isInImportMode { await importMode.end() }
            if hasBegun { try? await control.replaceHash(checkpointKey.name, with: CheckpointKey.stopped) }
        default: break
        }
    }
}

/// The log of a leave: each step with the time since its beginning.
struct Departure {
    let logger: Logger
    let start = ContinuousClock.now

    func log(_ text: String, flow: FlowID? = nil, level: Logger.Level = .info) {
        var metadata: Logger.Metadata = ["phase": "leaving"]
        if let flow { metadata["flow"] = "\(flow)" }
        logger.log(level: level, "\(text) (\(elapsed) ms)", metadata: metadata)
    }

    func end() {
        logger.notice("left in \(elapsed) ms", metadata: ["phase": "leaving", "event": "left"])
    }

    private var elapsed: Int64 { start.duration(to: .now).milliseconds }
}
