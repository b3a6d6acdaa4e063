import Link

/// Work that is finished even if its waiting caller is cancelled, unless its owner ends it. One piece of work at a time.
final class ShieldedWork: Sendable {
    private let state = Lock<(task: Task<Void, Never>?, isEnded: Bool)>((nil, false))

    /// Runs `body` and waits for it.
    ///
    /// - Parameter body: must end soon after it is cancelled. The caller's cancellation does not cancel it.
    func run(_ body: @escaping @Sendable () async -> Void) async {
        // This call owns the task and waits for it.
        let task = Task { await body() }
        let isEnded = state.withLock { state in
            state.task = task
            return state.isEnded
        }
        if isEnded { task.cancel() }
        await task.value
        state.withLock { $0.task = nil }
    }

    /// Cancels the current work and all later work.
    func end() {
        let task = state.withLock { state in
            state.isEnded = true
            return state.task
        }
        task?.cancel()
    }
}
