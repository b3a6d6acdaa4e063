import Link

/// A sleep that others can end early. Only one sleep at a time.
///
/// The sleep begins on the caller's actor. There is no suspension before `end` can end it, so what the caller has checked
/// on its actor still holds then.
final class InterruptibleSleep: Sendable {
    private let current = Lock<Task<Void, Never>?>(nil)

    /// Returns after `duration`, when `end` is called, or when the caller is cancelled.
    nonisolated(nonsending) func sleep(for duration: Duration) async {
        await sleep { _ = try? await Task.sleep(for: duration) }
    }

    /// Returns when `wait` returns, when `end` is called, or when the caller is cancelled. The latter two cancel `wait`,
    /// which then returns.
    nonisolated(nonsending) func sleep(_ wait: @escaping @Sendable () async -> Void) async {
        // This call owns the task and waits for it.
        let sleep = Task { await wait() }
        current.withLock { $0 = sleep }
        await withTaskCancellationHandler {
            await sleep.value
        } onCancel: {
            sleep.cancel()
        }
        current.withLock { $0 = nil }
    }

    /// Ends the current sleep, if there is one.
    func end() { current.withLock { $0 }?.cancel() }
}
