import Logging
import Redis

/// A full sync over old data: what the source no longer has goes.
@SessionActor
final class ReconciliationRun {
    private let scope: SessionScope
    private let databases: TaskDatabases
    private let logger: Logger
    private let inDoubt = ShieldedWork()
    /// This full sync removes the keys that the source no longer has, and has not done so yet.
    private(set) var isPending = false

    init(_ scope: SessionScope, databases: TaskDatabases) {
        self.scope = scope
        self.databases = databases
        logger = scope.task.logger
    }

    /// Whether the full sync that begins is to remove what the source no longer has.
    ///
    /// - Parameter wasPending: an earlier one was ended before it had.
    func decide(wasPending: Bool) {
        isPending =
            switch scope.task.settings.existing {
            case .auto: databases.hasOwn || wasPending
            case .reconcile: true
            case .replace, .flush: false
            }
    }

    /// Begins to remove, beside the stream.
    func begin() {
        scope.sideTasks.start(.reconciliation) { [self] in
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

    /// Removes what the source no longer has.
    ///
    /// - Throws: `TargetError`; what was removed until then was rightly removed.
    func run() async throws {
        // A connection of its own: the session's may be in the middle of a transaction.
        let control = scope.task.control(role: "reconcile")
        do {
            let removed = try await remove(through: control)
            let hasOtherTasks = scope.target.hasOtherTasks
            for applier in scope.flows.appliers { await applier.endReconciling(remembers: hasOtherTasks) }
            try await scope.task.checkpointStore.noteReconciled(on: control)
            isPending = false
            logger.notice("reconciled: \(removed) keys removed that the source no longer has")
        } catch {
            await control.close()
            throw error
        }
        await control.close()
    }

    /// In a cluster again where a master was replaced meanwhile: its successor may have what was removed before.
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

    /// The flows are closed: nobody waits any more for what became of a removal.
    func end() { inDoubt.end() }

    /// A source that has lost its data would take the copy of them with it, which is what a copy is for.
    ///
    /// - Throws: `ReplicationError` when the snapshot has brought nothing, and everything in the task's databases would be
    ///   removed, unless that was asked for by name or the source was seen to be emptied.
    func refuseEmptySource() async throws {
        guard scope.task.settings.existing == .auto, !scope.history.sourceWasEmptied else { return }
        let (reconciler, reconciled) = (reconciler(on: scope.control), databases.reconciled)
        guard try await scope.retry({ try await reconciler.hasWork(in: reconciled) }) else { return }
        throw ReplicationError(
            .policy,
            "the source has come back without any key, and the target still has those of this task: nothing is removed "
                + "(if the source has lost its data, restore them; if it is meant to be empty, set fullSync.existing to reconcile)"
        )
    }

    private func reconciler(on control: TargetControl) -> Reconciler {
        let task = scope.task
        return Reconciler(
            control: control, flows: scope.flows.appliers, retry: task.settings.retry, logger: logger,
            reserved: ReservedKeys(checkpoint: task.checkpointKey.name, isInCluster: control.isInCluster),
            inDoubt: inDoubt,
            isShared: { [registry = task.registry] in try await control.others(in: registry).fill($0) })
    }
}
