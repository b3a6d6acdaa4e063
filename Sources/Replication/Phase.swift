/// The phase of a task.
package enum Phase: String, CaseIterable, Sendable {
    case connecting = "connecting"
    case fullSync = "full sync"
    case stable = "stable"
    case waiting = "waiting"
    /// The room ran out. What was received is applied before the source is tried again.
    case catchingUp = "catching up"
    case leaving = "leaving"
}
