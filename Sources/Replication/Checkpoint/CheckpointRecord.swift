/// The contents of a task's checkpoint file: the positions of all flows as one unit, and what the task has done to the
/// target.
struct CheckpointRecord: Equatable, Sendable, Codable {
    var task: String
    /// The run id of the server process that the positions belong to. Another process may have lost confirmed writes.
    var targetRunID = ""
    var replicationID: String?
    /// The next LSNs by flow number; empty if there is no position to resume at.
    var nextLSNs: [UInt64] = []
    /// Nothing after the positions has been applied, because the task left in order.
    var isExact = false
    /// Databases that the task has filled; `nil` if it has not completed a full sync.
    var databases: Set<UInt32>?
    /// `TaskRecord.filling` as text.
    var filling: String?
    /// Databases that have a mark.
    var marked: Set<UInt32>?
    /// A full sync brought its keys but ended before it had removed the old ones.
    var isReconciling = false
    /// See `TaskRecord.source`.
    var source: String?
    /// Why there is no position.
    var stopped: String?
    /// `DataSetNote` as text.
    var counts: String?

    init(task: String) { self.task = task }
}
