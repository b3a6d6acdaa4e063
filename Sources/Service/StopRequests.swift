import Dashboard

/// The requests to leave, from signals and from the control socket, as a stream for the code that makes the task leave.
/// They come one at a time, and those made before the task begins are kept.
struct StopRequests: Sendable {
    let stream: AsyncStream<TaskControl.Stop>
    private let continuation: AsyncStream<TaskControl.Stop>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(of: TaskControl.Stop.self) }

    func add(_ request: TaskControl.Stop) { continuation.yield(request) }

    /// Ends the stream.
    func end() { continuation.finish() }
}

extension TaskControl.Stop {
    /// The log message for a request that came over the control socket.
    ///
    /// - Parameters:
    ///   - target: the server that clients write to after a cut-over.
    ///   - undo: the command that lets the task start again.
    func announcement(target: String, undo: String) -> String {
        guard isCutover else { return "asked over its socket to leave, as 'df2redis stop' does" }
        return "cut over: the task leaves, clients write to \(target) from now on, and it does not start again "
            + "(to follow the source all the same: \(undo))"
    }
}
