package import Dragonfly
package import Redis

/// What an applier reports to the session.
package enum FlowEvent: Sendable {
    /// The snapshot of this flow is decoded: FULLSYNC_END.
    case snapshotCompleted(FlowID)
    /// The end of the snapshot is applied; the flow is a journal from here on.
    case stable(FlowID, masterVersion: String?)
    /// The flow is about to write to a database for the first time, and waits for leave to do it.
    case reachedDatabase(FlowID, UInt32)
    /// Everything before a global command is applied; the flow waits for the others.
    case reachedGlobal(FlowID, GlobalCommand, transactionID: UInt64)
    /// FLUSHALL or FLUSHDB inside the snapshot.
    case mustRestart(FlowID, GlobalCommand)
    case targetLost(FlowID, TargetError)
    case targetFound(FlowID)
    case failed(ReplicationError)
}
