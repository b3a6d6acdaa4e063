import Dashboard

/// What asks a task to leave, a signal or somebody at its socket, for whoever has it leave: one after the other, also what
/// comes before the task has begun.
struct LeaveOrders: Sendable {
    let stream: AsyncStream<TaskControl.Stop>
    private let continuation: AsyncStream<TaskControl.Stop>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(of: TaskControl.Stop.self) }

    func add(_ order: TaskControl.Stop) { continuation.yield(order) }

    /// No more will come.
    func end() { continuation.finish() }
}

extension TaskControl.Stop {
    /// What the task's log says of an order that has come over its socket.
    ///
    /// - Parameters:
    ///   - target: where clients write to after a cut-over.
    ///   - undo: the command that lets the task start again.
    func announcement(target: String, undo: String) -> String {
        guard isCutover else { return "asked over its socket to leave, as 'df2redis stop' does" }
        return "cut over: the task leaves, clients write to \(target) from now on, and it does not start again "
            + "(to follow the source all the same: \(undo))"
    }
}
