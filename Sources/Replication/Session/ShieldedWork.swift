import Link

/// Work that is finished even if whoever waits for it is cancelled, until its owner ends it. One piece at a time.
final class ShieldedWork: Sendable {
    private let state = Lock<(task: Task<Void, Never>?, isEnded: Bool)>((nil, false))

    /// Runs `body` and waits for it.
    ///
    /// - Parameter body: ends soon when it is cancelled, which the caller's cancellation does not do.
    func run(_ body: @escaping @Sendable () async -> Void) async {
        // Owned by this call, which waits for it.
        let task = Task { await body() }
        let isEnded = state.withLock { state in
            state.task = task
            return state.isEnded
        }
        if isEnded { task.cancel() }
        await task.value
        state.withLock { $0.task = nil }
    }

    /// Cancels the work of now and of later.
    func end() {
        let task = state.withLock { state in
            state.isEnded = true
            return state.task
        }
        task?.cancel()
    }
}
