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
        /// The source holds other data than its journal has brought.
        case dataReplaced(FullSyncReason)
        /// Look whether what was received is applied.
        case look
        case pingFailed(any Error)
        /// What a look at the target has found.
        case target(TargetWatch.Findings)
    }

    /// How long without an answer to PING on the main connection until the source counts as lost.
    private static let pingTimeout = Duration.seconds(30)
    /// Beats between two of them.
    private static let pingInterval = 5
    /// How long a leave goes on applying what was received: before its FIN and behind it together.
    static let applyLimit = Duration.milliseconds(700)
    private static let cleaningLimit = Duration.seconds(3)

    let settings: ReplicatorSettings
    let incidents: IncidentLog
    let targetLimits: KnownTargetLimits
    let logger: Logger
    let notice: @Sendable (ReplicatorNotice) -> Void
    let history: SessionHistory
    let events: AsyncStream<Event>
    let post: AsyncStream<Event>.Continuation
    let lease: TaskLease
    let registry: TaskRegistry
    let control: TargetControl
    let checkpointKey: CheckpointKey
    let checkpointStore: CheckpointStore
    let watch: TargetWatch
    let inspector: SourceInspector
    var dataSet: DataSetWatch?
    let budget: SpoolBudget

    /// The target is filled by other tasks as well.
    var hasOtherTasks = false
    /// What the target allows us.
    var rights = TargetRights()
    var master: MasterSession?
    var replicationID: String?
    var appliers: [FlowApplier] = []
    var progress: [FlowProgress] = []
    var barrier = GlobalBarrier(flowCount: 0)
    var stableFlows: Set<FlowID> = []
    private(set) var endedFlows: Set<FlowID> = []
    var databases = TaskDatabases()
    /// This full sync removes the keys that the source no longer has.
    var isReconciling = false
    var reconciliation: Task<Void, Never>?
    var restoration: Task<Void, Never>?
    var seenLapses = 0
    private var work: Task<End, any Error>?
    private(set) var isLeaveRequested = false
    var importModeStanding = ImportMode.Standing.off
    private(set) var isHurried = false
    var drainSleep: Task<Void, Never>?
    var phase = Phase.connecting
    /// The session has got as far as a sync.
    var hasBegun = false
    var isFullSync = false
    var connections: [FlowConnection] = []
    /// Flows whose target does not serve.
    var lostFlows: Set<FlowID> = []
    var health = SessionHealth()
    #if DEBUG
        var debugHang = DebugHang()
    #endif
    var stableSince: ContinuousClock.Instant?
    /// For the sessions after this one.
    var outcome: SessionOutcome {
        .init(
            hasBegun: hasBegun, isFullSync: isFullSync, stableTime: stableSince?.duration(to: .now),
            ownsImportMode: ownsImportMode)
    }

    init(
        settings: ReplicatorSettings, lease: TaskLease, registry: TaskRegistry, checkpointStore: CheckpointStore,
        watch: TargetWatch, incidents: IncidentLog, targetLimits: KnownTargetLimits, logger: Logger,
        history: SessionHistory,
        notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        self.settings = settings
        self.incidents = incidents
        self.targetLimits = targetLimits
        self.logger = logger
        self.history = history
        self.notice = notice
        (events, post) = AsyncStream.makeStream(of: Event.self)
        control = TargetControl(connector: TargetConnector(settings: settings.target))
        checkpointKey = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        self.lease = lease
        self.registry = registry
        self.checkpointStore = checkpointStore
        self.watch = watch
        seenLapses = lease.lapses
        inspector = SourceInspector(settings: settings.source)
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
                await checkpointStore.forgetPosition(on: control)
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
                await leave(because: error.description, applies: !error.forbidsApplying)
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

    // MARK: Following

    private func follow() async throws -> End {
        var ticks = 0
        for await event in events {
            begin("its next event", atMost: .seconds(60))
            switch event {
            case .tick:
                ticks += 1
                if let loss = lease.loss { throw loss }
                if ticks % Self.pingInterval == 0 { pingSource() }
                if phase == .stable {
                    try await noteAwaitedDatabases()
                    if ticks % Self.pingInterval == 0 { try await storeDatabases() }
                    storePosition(ticks)
                }
                if ticks % Self.pingInterval == 0 { watchTarget() }
            case .look: break
            case .target(let findings): try handle(findings)
            case .pingFailed(let error): throw error
            case .dataReplaced(let reason): throw ReplicationError(dataReplaced: reason)
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
            await dataSet?.start()
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

    private func applier(_ flow: FlowID) -> FlowApplier { appliers[flow.index] }

    func startAcknowledging(_ flow: FlowID) async {
        guard let master else { return }
        let flows = await master.flows
        let progress = progress[flow.index]
        guard flow.index < flows.count else { return }
        let connection = flows[flow.index]
        await connection.startAcknowledging { progress.appliedLSN }
        await applier(flow).acknowledge(on: connection)
    }

    private func meet(_ flow: FlowID, _ command: GlobalCommand, _ transactionID: UInt64) async throws {
        switch barrier.arrive(flow, command, transactionID: transactionID) {
        case .waiting: return
        case .mismatch(let expected, let found):
            throw ReplicationError(
                .undecodable, flow: flow, "the flows do not meet: this one is at \(found), others are at \(expected)")
        case .complete: break
        }
        let position = await positionAfterGlobal()
        var fields = checkpointFields(position)
        if let note = await dataSet?.flushed(command) {
            if settings.checkpoint.store == .target { fields.append((DataSetNote.field, note.text)) }
        }
        let flush = flush(command, fields: fields)
        let left = try await retryingTarget { [control] in try await control.run(flush) }
        incidents.reportShared(left, command)
        if left.isEmpty, command == .flushAll { for applier in appliers { try await applier.forgetBroughtKeys() } }
        logger.notice("\(command.name) applied", metadata: ["phase": "\(phase.rawValue)"])
        barrier.reset()
        await checkpointStore.store(position, isExact: false)
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

    // MARK: After leaving

    /// Keys of our own under which values were being built. A target that does not answer keeps them.
    private func removePartialKeys() async {
        var keys: [(database: UInt32, key: [UInt8])] = []
        for applier in appliers { keys += await applier.partialKeys }
        guard !keys.isEmpty else { return }
        await within(Self.cleaningLimit) { [control, keys] in
            for (database, key) in keys {
                do { try await control.unlink([key], database: database) } catch { return }
            }
        }
    }

    private func afterLeaving(_ error: ReplicationError) async {
        await removePartialKeys()
        switch error.code {
        case .policy:
            // The target differs from here on: the next start must not continue as if nothing had happened.
            if hasBegun { await checkpointStore.noteStopped(on: control) }
        // What came after the gap has been counted, and stored, as what is in it; or the data are others by now.
        case _ where error.resumeBlocker != nil && (hasBegun || history.hasBegun):
            await checkpointStore.forgetPosition(on: control)
        default: break
        }
    }
}
