/// What of a session is alive: its queues, and the coordinator, which may be at something long.
struct SessionHealth {
    var probes: [QueueProbe] = []
    /// What the coordinator is at, and how many beats it has been and may be at it.
    private var step = (name: "", beats: 0, limit: 0)

    /// The coordinator begins something that may take so long, or begins again.
    mutating func begin(_ name: String, atMost limit: Duration) {
        step = (name, 0, Int(limit.components.seconds))
    }

    /// Once a second.
    ///
    /// - Parameter limit: beats that a queue may wait for its turn.
    /// - Returns: what hangs.
    mutating func beat(limit: Int) -> Set<String> {
        step.beats += 1
        var hanging = Set(probes.filter { $0.look() >= limit }.map(\.name))
        if step.beats > max(step.limit, limit) { hanging.insert("the coordinator, at \(step.name),") }
        return hanging
    }
}
