import Link
import Logging
import Redis

/// After a full sync over old data, removes the keys that the source no longer has.
@SessionActor
final class ReconciliationRun {
    private let scope: SessionScope
    private let databases: TaskDatabases
    private let logger: Logger
    private let inDoubt = ShieldedWork()
    /// This full sync must still remove the keys that the source no longer has.
    private(set) var isPending = false
    /// Which source the target's keys came from, and how many keys it held when a full sync from another source began.
    /// `nil` if the source is the same, or if the operator has said what to do.
    private var before: (source: PreviousSource, keys: Int)?

    init(_ scope: SessionScope, databases: TaskDatabases) {
        self.scope = scope
        self.databases = databases
        logger = scope.task.logger
    }

    /// Decides whether the full sync that begins must remove the keys that the source no longer has.
    ///
    /// - Parameter wasPending: an earlier full sync ended before it had removed them.
    func decide(wasPending: Bool) {
        isPending = databases.areReconciled(wasPending: wasPending)
    }

    /// Counts the target's keys before any key of another source is written.
    ///
    /// - Parameters:
    ///   - replicationID: the replication id of the source of this full sync.
    ///   - source: the replication id of the source that last filled the target; `nil` if unknown.
    /// - Throws: `TargetError`.
    func countBefore(_ replicationID: String, over source: String?) async throws {
        guard isPending, mayRefuse, let source = PreviousSource(source, next: replicationID) else { return }
        let (control, checkpoint) = (scope.control, scope.task.checkpointKey)
        var keys = 0
        for database in databases.reconciled.sorted() {
            keys += try await scope.retry {
                try await control.dataKeyCount(
                    database: database, checkpoint: checkpoint.name, task: checkpoint.task)
            }
        }
        before = (source, keys)
    }

    /// Starts the removal beside the stream. It is repeated until it succeeds.
    func begin() {
        scope.backgroundTasks.start(.reconciliation) { [self] in
            var attempt = 0
            while !Task.isCancelled {
                attempt += 1
                do { return try await run() } catch {
                    if Task.isCancelled { return }
                    logger.warning("removing keys that the source no longer has: \(error); starting over")
                    try? await Task.sleep(for: scope.task.settings.retry.wait(before: attempt))
                }
            }
        }
    }

    /// Removes the keys that the source no longer has.
    ///
    /// - Throws: `TargetError`; all keys removed until then were rightly removed.
    func run() async throws {
        // A separate connection, because the session's may be in the middle of a transaction.
        let control = scope.task.control(role: "reconcile")
        do {
            let doomed = try await reconciler(on: control).countWork(in: databases.reconciled)
            if doomed > 0 {
                logger.warning(
                    "removing \(counted(Int(doomed), "key")) from the target that the source does not have",
                    metadata: ["event": "removing"])
            }
            let removed = try await remove(through: control)
            let hasOtherTasks = scope.target.hasOtherTasks
            for applier in scope.flows.appliers { await applier.endReconciling(remembers: hasOtherTasks) }
            try await noteDone(on: control)
            // If the target comes back in a state from before the removal, pending note included, a flow's mark shows it.
            await scope.flows.appliers.first?.noteOutOfStreamWrite()
            logger.notice("reconciled: \(counted(Int(removed), "key")) removed that the source does not have")
        } catch {
            await control.close()
            throw error
        }
        await control.close()
    }

    /// Notes that the keys are removed. The state changes before the note is written, because a flush may write the
    /// checkpoint at the same time: a flush that read the old state finds it changed (`noteAgain`).
    private func noteDone(on control: TargetControl) async throws {
        isPending = false
        do { try await scope.task.checkpointStore.noteReconciled(on: control) } catch {
            isPending = true
            throw error
        }
    }

    /// Notes again that the keys are removed, after a flush has written the checkpoint with the state `wasPending`.
    ///
    /// - Throws: `TargetError`.
    func noteAgain(ifPendingBefore wasPending: Bool) async throws {
        guard wasPending, !isPending else { return }
        let (store, control) = (scope.task.checkpointStore, scope.control)
        try await scope.retry { try await store.noteReconciled(on: control) }
    }

    /// Removes the keys. In a cluster, this is repeated if a master was replaced meanwhile, because its successor may still
    /// hold keys that were removed.
    private func remove(through control: TargetControl) async throws -> Int {
        let reconciler = reconciler(on: control)
        guard control.isInCluster else { return try await reconciler.run(databases: databases.reconciled) }
        var removed = 0
        var masters: String
        repeat {
            try Task.checkCancellation()
            masters = try await control.figures().runID
            removed += try await reconciler.run(databases: databases.reconciled)
            try await scope.flows.markNodes(of: scope.task, through: control)
        } while try await control.figures().runID != masters
        return removed
    }

    /// Ends the wait for removals whose outcome is unknown. Called after the flows are closed.
    func end() { inDoubt.end() }

    /// Refuses the removal if the source seems to have lost its data or to be the wrong one: removing would destroy the
    /// copy, which exists for that case.
    ///
    /// - Parameter keys: the number of keys that the snapshot has brought.
    /// - Throws: `ReplicationError` if the source has no keys, or if it is another source with hardly any (`RemovalGuard`),
    ///   unless the operator asked for the removal explicitly or the source was seen to be emptied.
    func refuseLoss(broughtKeys keys: Int) async throws {
        guard isPending, mayRefuse else { return }
        let (reconciler, reconciled) = (reconciler(on: scope.control), databases.reconciled)
        if keys == 0 {
            guard try await scope.retry({ try await reconciler.hasWork(in: reconciled) }) else { return }
            throw ReplicationError(
                .policy,
                "the source has come back without any key, and the target still has those of this task: nothing is removed "
                    + "(if the source has lost its data, restore them; if it is meant to be empty, set fullSync.existing to reconcile)"
            )
        }
        guard let before, RemovalGuard.forbids(bringing: keys, over: before.keys) else { return }
        throw ReplicationError(
            .policy,
            "\(before.source); it has brought \(keys) keys, where the "
                + "target holds \(before.keys) of this task: nothing is removed (if source.addr is wrong, correct it; if the source "
                + "has lost its data, restore them; if the target's keys are to go, set fullSync.existing to reconcile)"
        )
    }

    private var mayRefuse: Bool { scope.task.settings.existing == .auto && !scope.history.sourceWasEmptied }

    private func reserved(on control: TargetControl) -> ReservedKeys {
        ReservedKeys(checkpoint: scope.task.checkpointKey.name, isInCluster: control.isInCluster)
    }

    private func reconciler(on control: TargetControl) -> Reconciler {
        let task = scope.task
        return Reconciler(
            control: control, flows: scope.flows.appliers, retry: task.settings.retry, logger: logger,
            reserved: reserved(on: control), inDoubt: inDoubt,
            isShared: { [registry = task.registry] in try await control.others(in: registry).fill($0) })
    }
}

/// Where the target's keys come from, if that is not known to be the source of the full sync.
enum PreviousSource: Equatable, CustomStringConvertible {
    case another
    /// An earlier version noted the source together with the positions only, or a cluster has lost the note.
    case unknown

    /// - Parameters:
    ///   - source: the replication id of the source that last filled the target, if known.
    ///   - next: the replication id of the source of the full sync.
    /// - Returns: `nil` if both are the same.
    init?(_ source: String?, next: String) {
        if source == next { return nil }
        self = source == nil ? .unknown : .another
    }

    var description: String {
        switch self {
        case .another: "the source is not the one that the target was filled from, or has been restarted"
        case .unknown: "which source the target was filled from is not known any more"
        }
    }
}

/// Decides when a full sync from another source, which the operator has not explicitly allowed to remove keys, removes
/// nothing. A source that has lost its data soon gets some new keys once its clients are back.
enum RemovalGuard {
    /// The guard applies only if the target held at least this many keys. Fewer keys are soon filled in again, and a
    /// source that somebody tries out is often restarted without its data.
    static let leastKeys = 1000
    /// The guard applies only if the source has fewer than one key for this many of the target's keys. A source with
    /// more keys holds another data set, not the rest of a lost one.
    static let ratio = 100

    /// - Parameters:
    ///   - keys: the number of keys that the snapshot has brought.
    ///   - keysBefore: the number of the task's keys that the target held before.
    static func forbids(bringing keys: Int, over keysBefore: Int) -> Bool {
        keysBefore >= leastKeys && keys < keysBefore / ratio
    }
}
