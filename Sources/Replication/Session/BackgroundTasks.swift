/// Owns every task that runs beside a session's loop. It starts a task, cancels it when the session leaves, and waits for
/// its end before the session ends.
@SessionActor
final class BackgroundTasks {
    enum Job: Hashable {
        /// Pings the source.
        case ping
        /// Asks the target which of the task's keys it has removed by itself.
        case targetPoll
        /// Writes a checkpoint again after the target has evicted it.
        case restoration
        /// Removes the keys that the source no longer has.
        case reconciliation
        /// Reads keys at the source whose records do not say enough.
        case refresh
        /// Compares both sides over and over.
        case verification
        /// Carries out what an operator asks for.
        case operatorRequests
        /// Walks the source's streams to find those that have consumer groups.
        case streams
        /// Checks whether everything that was received is applied.
        case catchUpPoll
    }

    private var running: [Job: Task<Void, Never>] = [:]

    /// Starts `job`, unless it is still running.
    ///
    /// - Parameter body: must end soon after it is cancelled.
    func start(_ job: Job, _ body: @escaping @SessionActor @Sendable () async -> Void) {
        guard running[job] == nil else { return }
        running[job] = Task {
            await body()
            running[job] = nil
        }
    }

    func isRunning(_ job: Job) -> Bool { running[job] != nil }

    func cancel(_ job: Job) { running[job]?.cancel() }

    /// Cancels all jobs.
    ///
    /// - Parameter spared: a job that continues.
    func cancelAll(but spared: Job? = nil) { for (job, task) in running where job != spared { task.cancel() } }

    /// Cancels all jobs and waits until they have ended.
    func end() async {
        cancelAll()
        while let task = running.values.first { await task.value }
    }
}
