/// What of a session is alive: its queues, and the coordinator, which may be at something long.
@SessionActor
final class SessionHealth {
    private var probes: [QueueProbe] = []
    /// What the coordinator is at, and how many beats it has been and may be at it.
    private var step = (name: "", beats: 0, limit: 0)

    func watch(_ probes: [QueueProbe]) { self.probes += probes }

    /// The coordinator begins something that may take so long, or begins again.
    func begin(_ name: String, atMost limit: Duration) {
        step = (name, 0, Int(limit.components.seconds))
    }

    /// Once a second.
    ///
    /// - Parameter limit: beats that a queue may wait for its turn.
    /// - Returns: what hangs: queues that do not get their turn, and the coordinator if it is at something for longer than
    ///   that can take. What waits for a peer does not hang.
    func beat(limit: Int) -> Set<String> {
        step.beats += 1
        var hanging = Set(probes.filter { $0.poll() >= limit }.map(\.name))
        if step.beats > max(step.limit, limit) { hanging.insert("the coordinator, at \(step.name),") }
        return hanging
    }
}
