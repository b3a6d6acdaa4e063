import Dragonfly
import Redis

/// The session's checkpoint as a whole: the position that all flows have applied, and the fields that are written with it.
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

    /// All fields of the hash, positions included, because a flush makes the target forget everything about the task. If
    /// the positions are in a file, only the fields that are kept in the target nevertheless.
    func fields(at position: ResumePoint) -> [(field: String, value: String)] {
        let own = ttls.fields
        guard isInTarget else { return own }
        let key = scope.task.checkpointKey
        let positions = position.nextLSNs.enumerated().map { index, next in
            (field: key.field(FlowID(index)), value: position.text(next))
        }
        let outOfStreamCounts = scope.flows.progress.enumerated()
            .filter { $0.element.appliedOutOfStreamCount > 0 }
            .map { index, progress in
                (field: key.outOfStreamField(FlowID(index)), value: "\(progress.appliedOutOfStreamCount)")
            }
        let state =
            reconciliation.isPending
            ? (field: TaskRecord.reconcileField, value: "pending")
            : (field: TaskRecord.sourceField, value: position.replicationID)
        return positions + outOfStreamCounts + databases.fields + [state] + own
    }

    /// Stores the positions in the file if they are kept there, at the configured interval, without waiting for the disk.
    ///
    /// - Parameter ticks: seconds since the session began to follow the source; 0 stores them in any case.
    func storeInFile(_ ticks: Int) {
        guard case .file(let interval) = scope.task.settings.checkpoint.store, let position = scope.flows.position,
            ticks % max(Int(interval.components.seconds), 1) == 0
        else { return }
        store.storeSoon(position)
    }

    /// Stores the last positions after the flows are closed, if a file keeps them.
    ///
    /// - Parameter isExact: nothing after the positions has been applied.
    func storeLast(isExact: Bool) async {
        if let position = scope.flows.position { await store.store(position, isExact: isExact) }
    }

    /// Stores what the next session must know of the last seconds: the databases that the task has written to, in which a
    /// later full sync removes what the source has deleted, and the note on the data sets.
    func storeRecords() async {
        guard databases.areNoted else { return }
        try? await databases.store()
        try? await scope.dataSets.storeNote()
    }
}
