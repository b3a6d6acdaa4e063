import Dragonfly
import Redis

/// The session's checkpoint as a whole: what all flows have applied together, and what is written with it.
@SessionActor
final class SessionCheckpoint {
    private let scope: SessionScope
    private let databases: TaskDatabases
    private let reconciliation: ReconciliationRun
    private let ttls: SessionTTLs
    private var store: CheckpointStore { scope.task.checkpointStore }

    init(
        _ scope: SessionScope, databases: TaskDatabases, reconciliation: ReconciliationRun, ttls: SessionTTLs
    ) {
        self.scope = scope
        self.databases = databases
        self.reconciliation = reconciliation
        self.ttls = ttls
    }

    var isInTarget: Bool { scope.task.settings.checkpoint.store == .target }

    /// All fields of the hash, with the positions first: the target forgets all that it knew of the task when it is
    /// flushed. Where a file has the positions, only what is kept in the target nevertheless.
    func fields(at position: ResumePoint) -> [(field: String, value: String)] {
        let own = ttls.fields
        guard isInTarget else { return own }
        let key = scope.task.checkpointKey
        let positions = position.nextLSNs.enumerated().map { index, next in
            (field: key.field(FlowID(index)), value: position.text(next))
        }
        let besides = scope.flows.progress.enumerated().filter { $0.element.appliedBeside > 0 }.map { index, progress in
            (field: key.besideField(FlowID(index)), value: "\(progress.appliedBeside)")
        }
        let state =
            reconciliation.isPending
            ? (field: TaskRecord.reconcileField, value: "pending")
            : (field: TaskRecord.sourceField, value: position.replicationID)
        return positions + besides + databases.fields + [state] + own
    }

    /// Where a file keeps the positions: every so many seconds, not waited for.
    ///
    /// - Parameter ticks: seconds since the session began to follow; 0: now in any case.
    func storeInFile(_ ticks: Int) {
        guard case .file(let interval) = scope.task.settings.checkpoint.store, let position = scope.flows.position,
            ticks % max(Int(interval.components.seconds), 1) == 0
        else { return }
        store.storeSoon(position)
    }

    /// The flows are closed: where a file keeps the positions, the last ones.
    ///
    /// - Parameter isExact: nothing after them has been applied.
    func storeLast(isExact: Bool) async {
        if let position = scope.flows.position { await store.store(position, isExact: isExact) }
    }

    /// What the next session must know of the last seconds: where the task has written, a later full sync removes what the
    /// source has deleted.
    func storeRecords() async {
        guard databases.areNoted else { return }
        try? await databases.store()
        try? await scope.dataSets.storeNote()
    }
}
