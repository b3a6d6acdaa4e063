package import Dragonfly
package import Redis

/// An event that an applier reports to the session.
package enum FlowEvent: Sendable {
    /// The snapshot of this flow is decoded: FULLSYNC_END was reached.
    case snapshotCompleted(FlowID)
    /// The end of the snapshot is applied; from here on the flow is in the stable stream.
    case stable(FlowID, masterVersion: String?)
    /// The flow is about to write to a database for the first time, and waits until the session permits it.
    case reachedDatabase(FlowID, UInt32)
    /// Everything before a global command is applied; the flow waits for the other flows.
    case reachedGlobal(FlowID, GlobalCommand, transactionID: UInt64)
    /// A FLUSHALL or FLUSHDB arrived inside the snapshot, so the full sync must begin again.
    case mustRestart(FlowID, GlobalCommand)
    case targetLost(FlowID, TargetError)
    case targetFound(FlowID)
    case failed(ReplicationError)
}
