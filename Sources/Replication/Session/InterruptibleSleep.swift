import Link

/// A sleep that others can end early. One at a time.
///
/// It begins on the caller's actor, without a suspension before it can be ended: what the actor has looked at before is true
/// until then.
final class InterruptibleSleep: Sendable {
    private let current = Lock<Task<Void, Never>?>(nil)

    /// Returns after `duration`, when `end` is called, or when the caller is cancelled.
    nonisolated(nonsending) func sleep(for duration: Duration) async {
        await sleep { _ = try? await Task.sleep(for: duration) }
    }

    /// Returns after `wait`, which ends when it is cancelled, or as the other form does.
    nonisolated(nonsending) func sleep(_ wait: @escaping @Sendable () async -> Void) async {
        // Owned by this call, which waits for it.
        let sleep = Task { await wait() }
        current.withLock { $0 = sleep }
        await withTaskCancellationHandler {
            await sleep.value
        } onCancel: {
            sleep.cancel()
        }
        current.withLock { $0 = nil }
    }

    /// Ends the sleep that is under way, if there is one.
    func end() { current.withLock { $0 }?.cancel() }
}
