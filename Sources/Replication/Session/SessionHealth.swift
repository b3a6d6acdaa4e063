/// Which parts of a session are alive: its queues, and the coordinator, which may be busy with something long.
@SessionActor
final class SessionHealth {
    private var probes: [QueueProbe] = []
    /// The coordinator's current step, the number of beats since the step began, and the number of beats that it may take.
    private var step = (name: "", beats: 0, limit: 0)

    func watch(_ probes: [QueueProbe]) { self.probes += probes }

    /// Begins a step of the coordinator that may take up to `limit`, or restarts the time of the current step.
    func begin(_ name: String, atMost limit: Duration) {
        step = (name, 0, Int(limit.components.seconds))
    }

    /// Counts a beat. Called once a second.
    ///
    /// - Parameter limit: the number of beats that a queue may wait for its turn.
    /// - Returns: the names of the parts that hang: queues that do not get their turn, and the coordinator if a step takes
    ///   longer than its limit. A part that waits for a peer does not hang.
    func beat(limit: Int) -> Set<String> {
        step.beats += 1
        var hanging = Set(probes.filter { $0.poll() >= limit }.map(\.name))
        if step.beats > max(step.limit, limit) { hanging.insert("the coordinator, at \(step.name),") }
        return hanging
    }
}
