import Dragonfly
import Logging
import Redis

/// Handles a session's events one after the other, through the full sync into the stable phase, and also after the session
/// left the source because there was no room.
@SessionActor
final class SessionFollowing {
    /// The number of ticks between two pings of the source, and between two polls of the target.
    private static let askingTicks = 5
    private static let catchUpInterval = Duration.milliseconds(50)

    private let scope: SessionScope
    private let databases: TaskDatabases
    private let checkpoint: SessionCheckpoint
    private let reconciliation: ReconciliationRun
    private let reactions: TargetReactions
    private let globals: GlobalCommands
    private let logger: Logger

    init(
        _ scope: SessionScope, databases: TaskDatabases, checkpoint: SessionCheckpoint,
        reconciliation: ReconciliationRun, reactions: TargetReactions, globals: GlobalCommands
    ) {
        self.scope = scope
        self.databases = databases
        self.checkpoint = checkpoint
        self.reconciliation = reconciliation
        self.reactions = reactions
        self.globals = globals
        logger = scope.task.logger
    }

    /// Follows the source until the operator wants to leave or a migration is complete.
    ///
    /// - Throws: the error that ends the session.
    func follow() async throws -> ReplicationSession.End {
        var ticks = 0
        for await event in scope.events.stream {
            scope.health.begin("its next event", atMost: .seconds(60))
            switch event {
            case .tick:
                ticks += 1
                try await tick(ticks)
            case .poll: break
            case .target(let findings): try reactions.handle(findings)
            case .checkpointMissing: reactions.poll()
            case .pingFailed(let error): throw error
            case .dataReplaced(let reason):
                if case .keysMissing = reason { try await reactions.pollNow() }
                throw ReplicationError(dataReplaced: reason)
            case .connection(let event): throw sessionEnd(event)
            case .flow(let event):
                if try await handle(event) { return .completed }
            }
        }
        return .left
    }

    private func tick(_ ticks: Int) async throws {
        if let loss = scope.task.lease.loss { throw loss }
        let asks = ticks % Self.askingTicks == 0
        if asks { scope.source.ping() }
        if scope.sync.phase == .stable {
            try await databases.noteAwaited()
            if asks { try await databases.store() }
            checkpoint.storeInFile(ticks)
        }
        if asks { reactions.poll() }
    }

    /// The error for the loss of a flow, or for a flow that has no room left. The loss of one flow ends the whole session
    /// (Protocol 6.1).
    private func sessionEnd(_ event: FlowConnectionEvent) -> ReplicationError {
        switch event {
        case .ended(let flow, let cause):
            scope.flows.markEnded(flow)
            let words = cause == nil ? "the source closed the flow" : "the source is lost"
            return ReplicationError(.source(.unreachable), flow: flow, words, cause: cause)
        case .overflowed(let flow):
            let shortage = scope.flows[flow].intake.failure ?? .limit("spool.memoryBytes is spent")
            return ReplicationError(
                .overflow, flow: flow,
                "the target takes less than the source sends, and there is no room left for what waits: "
                    + "\(shortage) (\(shortage.remedy))")
        }
    }

    // MARK: Flows

    /// - Returns: `true` when a migration is complete.
    private func handle(_ event: FlowEvent) async throws -> Bool {
        switch event {
        case .snapshotCompleted(let flow): try await snapshotReceived(flow)
        case .stable(let flow, let version): return try await becameStable(flow, version)
        case .reachedDatabase(let flow, let database): try await databases.prepare(database, for: flow)
        case .reachedGlobal(let flow, let command, let transactionID):
            try await globals.reached(flow, command, transactionID)
        case .mustRestart(let flow, let command):
            throw ReplicationError(
                .resync, flow: flow, "the source ran \(command.name) during the full sync: starting it over")
        case .targetLost(let flow, let error):
            if !scope.flows.isTargetLost { scope.task.counters.targetLost() }
            scope.flows.reportTargetLost(flow, error)
        case .targetFound(let flow): scope.flows.reportTargetFound(flow)
        case .failed(let error): throw error
        }
        return false
    }

    private func snapshotReceived(_ flow: FlowID) async throws {
        logger.info("snapshot received", metadata: ["flow": "\(flow)", "phase": "full sync"])
        scope.health.begin(
            "waiting for STARTSTABLE", atMost: scope.task.settings.source.phaseTimeout + .seconds(10))
        if try await scope.source.snapshotCompleted(flow) {
            logger.info(
                "every flow has its snapshot: the source switches to the journal", metadata: ["phase": "full sync"])
        }
    }

    /// Notes that a flow has applied its snapshot.
    ///
    /// - Returns: `true` when a migration is complete.
    private func becameStable(_ flow: FlowID, _ version: String?) async throws -> Bool {
        let flows = scope.flows
        let progress = flows.progress[flow.index]
        flows.markStable(flow)
        let lsn = progress.appliedLSN.map { "\($0)" } ?? "?"
        logger.info(
            "snapshot applied: \(progress.appliedKeys) keys",
            metadata: ["flow": "\(flow)", "phase": "full sync", "lsn": "\(lsn)"])
        if scope.task.settings.mode == .replicate { await scope.source.startAcknowledging(flows[flow], progress) }
        guard flows.areAllStable else { return false }
        return try await fullSyncDone(keys: flows.keys, version)
    }

    /// Finishes the full sync after every flow has become stable.
    ///
    /// - Returns: `true` when a migration is complete.
    private func fullSyncDone(keys: Int, _ version: String?) async throws -> Bool {
        let settings = scope.task.settings
        logger.notice(
            "full sync done: \(keys) keys from \(version ?? "the source")",
            metadata: ["phase": "full sync", "event": "fullSyncDone"])
        scope.task.counters.fullSyncEnded()
        if settings.existing == .flush { try await databases.emptyUnused() }
        try await databases.store()
        try await databases.checkMarks()
        checkpoint.storeInFile(0)
        try await reconciliation.refuseLoss(broughtKeys: keys)
        if settings.mode == .migrate {
            // This takes as long as the target has keys; each request has a limit of its own.
            scope.health.begin("reconciling", atMost: .seconds(86_400))
            if reconciliation.isPending { try await reconciliation.run() }
            return true
        }
        if reconciliation.isPending { reconciliation.begin() }
        scope.sync.enterStable()
        await scope.dataSets.start()
        scope.startRefreshing { [databases] in databases.removable }
        logger.notice("stable: following the source's journal", metadata: ["phase": "stable", "event": "stable"])
        scope.reportPhase()
        return false
    }

    // MARK: Without the source

    /// Applies everything that was received before the room ran out. The next session begins after it and finds memory and
    /// disk free again.
    func catchUp() async throws {
        scope.sync.enterCatchingUp()
        logger.notice(
            "reconnecting to the source once the \(scope.flows.queuedBytes >> 10) KiB in the queue are applied",
            metadata: ["phase": "\(scope.sync.phase.rawValue)"])
        scope.reportPhase()
        scope.backgroundTasks.start(.catchUpPoll) { [events = scope.events] in
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.catchUpInterval)
                events.report(.poll)
            }
        }
        defer { scope.backgroundTasks.cancel(.catchUpPoll) }
        for await event in scope.events.stream {
            scope.health.begin("applying what waits", atMost: .seconds(60))
            switch event {
            case .poll:
                let hasMore = await scope.flows.haveMore()
                if !hasMore || scope.leaveRequest.isMade { return }
            case .flow(let event): _ = try await handle(event)
            case .tick: try await databases.noteAwaited()
            case .target(let findings): try reactions.handle(findings)
            case .checkpointMissing: reactions.poll()
            case .connection, .pingFailed, .dataReplaced: break
            }
        }
    }
}
