/// Runs `body`, and cancels it when `limit` has passed, which ends all its waits for a peer.
///
/// The caller's cancellation does not reach `body`, which is usually part of a leave.
func within<Result: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async -> Result
) async -> Result {
    // This call owns both tasks and waits for them.
    let work = Task { await body() }
    let timer = Task {
        if (try? await Task.sleep(for: limit)) != nil { work.cancel() }
    }
    let result = await work.value
    timer.cancel()
    await timer.value
    return result
}
