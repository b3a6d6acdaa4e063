import Logging

/// One session, from the target's greeting to the master's last FIN.
///
/// | what | who |
/// |---|---|
/// | the opening, in seven steps | `SessionOpening` |
/// | events, one after the other | `SessionFollowing` |
/// | the leave, in seven steps | `SessionLeaving` |
/// | the flows, and the source that they come from | `SessionFlows`, `SessionSource` |
/// | the phase and the progress | `SyncProgress` |
/// | the operator's request to leave | `LeaveRequest` |
/// | tasks beside the event loop | `BackgroundTasks` |
/// | databases, global commands, removing what the source no longer has | `TaskDatabases`, `GlobalCommands`, `ReconciliationRun` |
/// | the checkpoint, and reactions to what the target does by itself | `SessionCheckpoint`, `TargetReactions` |
/// | TTLs at both ends | `SessionTTLs` |
@SessionActor
final class ReplicationSession {
    enum End: Sendable {
        /// The operator asked to leave.
        case left
        /// `migrate`: every flow is applied up to the end of the snapshot.
        case completed
    }

    private let scope: SessionScope
    private let ttls: SessionTTLs
    private let opening: SessionOpening
    private let following: SessionFollowing
    private let leaving: SessionLeaving
    private let logger: Logger
    #if DEBUG
        private var debugHang = DebugHang()
    #endif

    init(_ task: TaskContext, history: SessionHistory) {
        scope = SessionScope(task, history: history)
        logger = task.logger
        let databases = TaskDatabases(scope)
        let reconciliation = ReconciliationRun(scope, databases: databases)
        ttls = SessionTTLs(scope)
        let checkpoint = SessionCheckpoint(
            scope, databases: databases, reconciliation: reconciliation, ttls: ttls)
        let globals = GlobalCommands(
            scope, databases: databases, checkpoint: checkpoint, reconciliation: reconciliation)
        let reactions = TargetReactions(
            scope, databases: databases, checkpoint: checkpoint, reconciliation: reconciliation)
        opening = SessionOpening(
            scope, databases: databases, reconciliation: reconciliation, globals: globals, reactions: reactions,
            ttls: ttls)
        following = SessionFollowing(
            scope, databases: databases, checkpoint: checkpoint, reconciliation: reconciliation,
            reactions: reactions, globals: globals)
        leaving = SessionLeaving(scope, checkpoint: checkpoint, reconciliation: reconciliation, ttls: ttls)
    }

    /// Opens the session, follows the source and leaves it.
    ///
    /// - Throws: `ReplicationError`, after the session has left.
    func run() async throws -> End {
        do {
            let end = try await scope.leaveRequest.run { [opening, following] in
                try await opening.run()
                return try await following.follow()
            }
            await leaving.leave(
                because: end == .left ? "asked to" : "the snapshot is applied", .init(applies: true, isFinal: true))
            await ttls.reportOutstandingElements()
            if end == .completed {
                await scope.task.checkpointStore.forgetPosition(
                    of: scope.flows.appliers.count, on: scope.control)
                ttls.forgetDeadlines()
            }
            await leaving.clearUp()
            return end
        } catch {
            return try await end(after: ReplicationError(error).during(scope.sync.errorPhase))
        }
    }

    /// Leaves the source after an error.
    ///
    /// - Throws: `error`, or a worse one that came up meanwhile.
    private func end(after error: ReplicationError) async throws -> End {
        if scope.leaveRequest.isMade, error.isTransient {
            // The request to leave has ended the retries that this error interrupted, so the session leaves without an
            // error.
            await leaving.leave(because: "asked to", .init(applies: true, isFinal: true))
            await leaving.clearUp()
            return .left
        }
        var error = error
        if error.code == .overflow, scope.sync.phase == .stable {
            await leaving.leave(because: error.description, .init(applies: true, closesFlows: false))
            error = await catchUp() ?? error
            await leaving.closeFlows(isExact: false)
        } else {
            await leaving.leave(because: error.description, .init(applies: !error.forbidsApplying))
        }
        await leaving.clearUp(after: error)
        throw error
    }

    /// Applies what was received before the room ran out.
    ///
    /// - Returns: an error that another session cannot recover from.
    private func catchUp() async -> ReplicationError? {
        do {
            try await following.catchUp()
            return nil
        } catch {
            let error = ReplicationError(error).during(scope.sync.errorPhase)
            guard error.isTransient else { return error }
            logger.warning("\(error)")
            return nil
        }
    }

    /// Handles the operator's request to leave; a second request makes it urgent.
    func requestLeave(drains: Bool = true, isCutover: Bool = false) {
        scope.leaveRequest.make(drains: drains, isCutover: isCutover)
    }

    // MARK: Figures

    var status: ReplicationStatus { scope.status }

    /// Called once a second by the replicator.
    ///
    /// - Returns: the status, and the names of the parts that hang.
    func beat() -> (status: ReplicationStatus, hanging: Set<String>) {
        #if DEBUG
            if debugHang?.beat() == true {
                let queues = scope.flows.firstQueues
                debugHang?.hang(applier: queues.applier, reader: queues.reader)
            }
        #endif
        scope.events.report(.tick)
        return (scope.status, scope.health.beat(limit: scope.task.settings.hangBeats))
    }

    /// The result of the session, for the sessions after it.
    var outcome: SessionOutcome {
        SessionOutcome(
            hasBegun: scope.sync.hasBegun, isFullSync: scope.sync.isFullSync, stableTime: scope.sync.stableTime,
            ownsImportMode: ttls.ownsImportMode)
    }

    /// Adds this session's counts to the summary. A full sync brings every key, so the counts of earlier ones are dropped.
    func contribute(to summary: inout ReplicationSummary) async {
        if scope.sync.isFullSync, scope.sync.hasBegun {
            (summary.keys, summary.expiredKeys, summary.conflictingKeys) = (0, 0, 0)
            summary.fullSyncs += 1
        }
        for applier in scope.flows.appliers {
            let counts = await applier.snapshotCounts
            summary.expiredKeys += counts.expired
            summary.conflictingKeys += counts.conflicts
        }
        summary.keys += scope.flows.keys
        summary.records += scope.flows.records
    }
}
