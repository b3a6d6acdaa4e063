import Dragonfly

/// Why a session that could have resumed at the checkpoint begins with a full sync instead.
enum FullSyncReason: Equatable, CustomStringConvertible {
    /// The target has no checkpoint of this task, although this process has followed the source before.
    case checkpointGone
    /// The checkpoint itself gives a reason not to trust it.
    case checkpointNotTrusted(String)
    case notCompleted
    case notReconciled
    /// The checkpoint has no position, for example because the task last ran as a migration.
    case noPosition
    case stoppedByPolicy
    case otherMaster
    case otherShardCount(Int, was: Int)
    case bufferTooShort
    case mixedFlowModes
    case recordsLost
    /// The source has been a replica since then and now holds its former master's data.
    case wasReplica
    /// REPLICAOF, SLAVEOF or REPLTAKEOVER was run at the source since the checkpoint.
    case roleChanged(calls: Int, before: Int)
    /// The source is loading a data set, which leaves no journal records.
    case loading
    /// The journal has a FLUSHALL that no client ran. DFLY LOAD and DEBUG RELOAD write such a record.
    case flushWithoutCall
    /// The source holds keys that no journal record has brought.
    case keysMissing(Int, source: Int, target: Int)
    /// A flush of the source has left this task's keys in databases that another task fills too. Later records must not
    /// build on their old values, and a full sync knows which keys it has brought.
    case keysLeft(Set<UInt32>)
    /// A node of the target has come back without writes that no record will bring again.
    case nodeIncomplete
    /// Somebody has emptied a node of the target.
    case nodeEmptied
    /// Somebody has emptied databases of the target, or swapped them with others.
    case databasesEmptied(Set<UInt32>)

    /// Finds the reason for a full sync.
    ///
    /// - Parameters:
    ///   - replicationID: the source's replication id.
    ///   - flowCount: the number of the source's shards.
    ///   - hasFollowed: this process has followed the source before.
    ///   - resumeBlocker: why the session must not resume at the position.
    /// - Returns: `nil` for the task's first full sync.
    init?(
        _ opening: CheckpointStore.Opening, replicationID: String, flowCount: Int, hasFollowed: Bool,
        resumeBlocker: FullSyncReason?
    ) {
        guard opening.isKnown, !opening.isRecalled else {
            guard hasFollowed || opening.isRecalled else { return nil }
            self = .checkpointGone
            return
        }
        if let resumeBlocker {
            self = resumeBlocker
        } else if let reason = opening.reason {
            self = .checkpointNotTrusted(reason)
        } else if opening.isStopped {
            self = .stoppedByPolicy
        } else if opening.isReconciling {
            self = .notReconciled
        } else if let point = opening.position, opening.databases != nil {
            if point.replicationID != replicationID {
                self = .otherMaster
            } else if point.nextLSNs.count != flowCount {
                self = .otherShardCount(flowCount, was: point.nextLSNs.count)
            } else {
                self = .bufferTooShort
            }
        } else {
            let isEmptied = opening.databases == nil && opening.filling.isEmpty && opening.position != nil
            let isComplete = opening.databases != nil && opening.filling.isEmpty && !opening.hasPositions
            self = isEmptied ? .checkpointGone : isComplete ? .noPosition : .notCompleted
        }
    }

    /// The reason without its figures, for counters.
    var kind: FullSyncKind {
        switch self {
        case .checkpointGone: .checkpointGone
        case .checkpointNotTrusted: .checkpointNotTrusted
        case .notCompleted: .notCompleted
        case .notReconciled: .notReconciled
        case .noPosition: .noPosition
        case .stoppedByPolicy: .stoppedByPolicy
        case .otherMaster: .otherMaster
        case .otherShardCount: .otherShardCount
        case .bufferTooShort: .bufferTooShort
        case .mixedFlowModes: .mixedFlowModes
        case .recordsLost: .recordsLost
        case .wasReplica: .wasReplica
        case .roleChanged: .roleChanged
        case .loading: .loading
        case .flushWithoutCall: .flushWithoutCall
        case .keysMissing: .keysMissing
        case .keysLeft: .keysLeft
        case .nodeIncomplete: .nodeIncomplete
        case .nodeEmptied: .nodeEmptied
        case .databasesEmptied: .databasesEmptied
        }
    }

    var description: String {
        switch self {
        case .checkpointGone: "the target no longer holds this task's checkpoint: emptied, or another server"
        case .checkpointNotTrusted(let reason): reason
        case .notCompleted: "the one before was ended before it was complete"
        case .notReconciled: "the one before was ended before it had removed what the source no longer has"
        case .noPosition: "the task has filled the target before, and has kept no position to go on from"
        case .stoppedByPolicy: "the task was stopped by policy, and the target differs since"
        case .otherMaster: "the source is another master than the checkpoint's, or has been restarted"
        case .otherShardCount(let count, let old): "the source has \(count) shards, the checkpoint is of \(old)"
        case .bufferTooShort: "the source's buffer no longer holds what the checkpoint asks for"
        case .mixedFlowModes: "the source cannot continue all flows at the checkpoint"
        case .recordsLost: "the source has left records of its journal out"
        case .wasReplica: "the source has been a replica, and has loaded what its master had"
        case .roleChanged(let calls, let before):
            "the source has been told to change its role since the checkpoint (\(calls) calls of REPLICAOF and its like, "
                + "\(before) before), and may have loaded other data"
        case .loading: "the source is loading a data set, which its journal does not show"
        case .flushWithoutCall:
            "the source's journal has a FLUSHALL that no client has run: it has loaded a data set, which its journal does not show"
        case .keysMissing(let count, let source, let target):
            "the source holds at least \(count) keys that its journal has not brought, as after a DFLY LOAD "
                + "(\(source) keys there, \(target) in the target)"
        case .keysLeft(let databases):
            "old keys are left in database \(Self.list(databases)) of the target, which "
                + "another task fills too, and nothing is to build on their values"
        case .nodeIncomplete: "a node of the target has come back without what had been written there"
        case .nodeEmptied: "a node of the target was emptied"
        case .databasesEmptied(let databases):
            "database \(Self.list(databases)) of the target was emptied, or exchanged for another (FLUSHDB, SWAPDB)"
        }
    }

    private static func list(_ databases: Set<UInt32>) -> String {
        databases.sorted().map(String.init).joined(separator: ", ")
    }
}

/// The kinds of full syncs that are counted.
package enum FullSyncKind: String, CaseIterable, Sendable {
    /// The task's first full sync: there was no position to resume at.
    case first = "first"
    case checkpointGone = "checkpoint-gone"
    case checkpointNotTrusted = "checkpoint-not-believed"
    case notCompleted = "not-completed"
    case notReconciled = "not-reconciled"
    case noPosition = "no-position"
    case stoppedByPolicy = "stopped-by-policy"
    case otherMaster = "other-master"
    case otherShardCount = "other-shard-count"
    case bufferTooShort = "buffer-too-short"
    case mixedFlowModes = "mixed-flow-modes"
    case recordsLost = "records-lost"
    case wasReplica = "was-replica"
    case roleChanged = "role-changed"
    case loading = "source-loading"
    case flushWithoutCall = "flush-without-call"
    case keysMissing = "keys-missing"
    case keysLeft = "keys-left"
    case nodeIncomplete = "node-incomplete"
    case nodeEmptied = "node-emptied"
    case databasesEmptied = "databases-emptied"
}
