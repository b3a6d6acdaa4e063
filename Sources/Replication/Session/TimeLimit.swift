/// Runs `body`, and cancels it when `limit` has passed: a wait for a peer's answer ends then, however many are to come.
func within<Result: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async -> Result
) async -> Result {
    let work = Task { await body() }
    let timer = Task {
        try await Task.sleep(for: limit)
        work.cancel()
    }
    defer { timer.cancel() }
    return await work.value
}
