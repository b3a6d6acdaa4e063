/// Events that interest an operator or the service manager.
package enum ReplicatorNotice: Sendable {
    case phase(ReplicationStatus)
    /// A session has ended; these are its last figures. Later figures of the same session are meaningless.
    case sessionEnded(ReplicationStatus)
    /// The flows are open and the sync has begun.
    case ready(ReplicationStatus)
    /// Once a second, from the coordinator. `isAlive` if the coordinator and all parts that move data are running.
    case beat(ReplicationStatus, isAlive: Bool)
    /// The sync has not begun, because a peer reports that it is loading its data. It is asked again within `next`.
    case loading(ReplicationStatus, next: Duration)
}
