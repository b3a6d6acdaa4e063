import Link
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
    /// Whose keys the target held when a full sync from another source began, and how many; `nil`: it is the same source, or
    /// an operator has said what is to be done.
    private var before: (source: FilledFrom, keys: Int)?

    init(_ scope: SessionScope, databases: TaskDatabases) {
        self.scope = scope
        self.databases = databases
        logger = scope.task.logger
    }

    /// Whether the full sync that begins is to remove what the source no longer has.
    ///
    /// - Parameter wasPending: an earlier one was ended before it had.
    func decide(wasPending: Bool) {
        isPending = databases.areReconciled(wasPending: wasPending)
    }

    /// Counts what the target holds, before anything of another source comes to it.
    ///
    /// - Parameters:
    ///   - replicationID: of the source that the full sync is from.
    ///   - source: that of the source which the target was last filled from; `nil`: it is not known.
    /// - Throws: `TargetError`.
    func countBefore(_ replicationID: String, over source: String?) async throws {
        guard isPending, mayRefuse, let source = FilledFrom(source, next: replicationID) else { return }
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
            let doomed = try await reconciler(on: control).countWork(in: databases.reconciled)
            if doomed > 0 {
                logger.warning(
                    "removing \(counted(Int(doomed), "key")) from the target that the source does not have",
                    metadata: ["event": "removing"])
            }
            let removed = try await remove(through: control)
            let hasOtherTasks = scope.target.hasOtherTasks
            for applier in scope.flows.appliers { await applier.endReconciling(remembers: hasOtherTasks) }
            try await scope.task.checkpointStore.noteReconciled(on: control)
            isPending = false
            // A target that comes back with what was removed, and with the note that it is to be, is known by the mark of a flow.
            await scope.flows.appliers.first?.noteBeside()
            logger.notice("reconciled: \(counted(Int(removed), "key")) removed that the source does not have")
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

    /// A source that has lost its data, or that is not the one that was meant, would take the copy of them with it, which is
    /// what a copy is for.
    ///
    /// - Parameter keys: those that the snapshot has brought.
    /// - Throws: `ReplicationError` when the source has no key, or is another one with hardly any (`RemovalBrake`), unless the
    ///   removal was asked for by name or the source was seen to be emptied.
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
        guard let before, RemovalBrake.stops(bringing: keys, over: before.keys) else { return }
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

/// Whose keys the target holds, where it is not known to be those of the source that a full sync is from.
enum FilledFrom: Equatable, CustomStringConvertible {
    case another
    /// An earlier version has noted it with the positions only, or a cluster has lost the note.
    case unknown

    /// - Parameters:
    ///   - source: the replication id of the source that the target was last filled from, if that is known.
    ///   - next: that of the source that it is to be filled from.
    /// - Returns: `nil` when it is the same one.
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

/// When a full sync from another source than the one before, of which nobody has said that it may, removes nothing: a source
/// that has lost its data gets some again as soon as its clients are back.
enum RemovalBrake {
    /// Fewer are soon filled in again, and a source that somebody tries out is often restarted without its data.
    static let leastKeys = 1000
    /// A source with more than a key for so many of the target's is another data set, not what is left of one.
    static let ratio = 100

    /// - Parameters:
    ///   - keys: those that the snapshot has brought.
    ///   - keysBefore: those of the task that the target held before.
    static func stops(bringing keys: Int, over keysBefore: Int) -> Bool {
        keysBefore >= leastKeys && keys < keysBefore / ratio
    }
}
