/// Owns every task that runs beside a session's loop: starts it, cancels it when the session leaves, and waits for its end
/// before the session's own.
@SessionActor
final class SideTasks {
    enum Job: Hashable {
        /// Asks the source whether it is still there.
        case ping
        /// Asks what the target has done to the task's keys by itself.
        case targetPoll
        /// Writes an evicted checkpoint anew.
        case restoration
        /// Removes what the source no longer has.
        case reconciliation
        /// Reads keys at the source that the stream does not say enough of.
        case refresh
        /// Compares both sides, over and over.
        case scrub
        /// Does what an operator asks for.
        case demands
        /// Walks the source's streams for those that have groups of consumers.
        case streams
        /// Looks whether what was received is applied.
        case catchUpPoll
    }

    private var running: [Job: Task<Void, Never>] = [:]

    /// Starts `job`, unless it is still running.
    ///
    /// - Parameter body: ends soon when it is cancelled.
    func start(_ job: Job, _ body: @escaping @SessionActor @Sendable () async -> Void) {
        guard running[job] == nil else { return }
        running[job] = Task {
            await body()
            running[job] = nil
        }
    }

    func isRunning(_ job: Job) -> Bool { running[job] != nil }

    func cancel(_ job: Job) { running[job]?.cancel() }

    /// - Parameter spared: goes on.
    func cancelAll(but spared: Job? = nil) { for (job, task) in running where job != spared { task.cancel() } }

    /// Cancels all, and waits until they have ended.
    func end() async {
        cancelAll()
        while let task = running.values.first { await task.value }
    }
}
