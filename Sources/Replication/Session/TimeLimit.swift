/// Runs `body`, and cancels it when `limit` has passed: a wait for a peer's answer ends then, however many are to come.
///
/// The caller's cancellation does not reach `body`, which is part of a leave as a rule.
func within<Result: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async -> Result
) async -> Result {
    // Both are owned by this call, which waits for them.
    let work = Task { await body() }
    let timer = Task {
        if (try? await Task.sleep(for: limit)) != nil { work.cancel() }
    }
    let result = await work.value
    timer.cancel()
    await timer.value
    return result
}
