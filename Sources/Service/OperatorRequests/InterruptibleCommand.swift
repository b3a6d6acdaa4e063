/// Runs the work of a command until it is done or the operator interrupts it.
enum InterruptibleCommand {
    static func run<Result: Sendable>(
        _ work: @escaping @Sendable () async throws -> Result
    ) async throws(OperatorRequestFailure) -> Result {
        var signals = SignalWatcher()
        let task = Task { try await work() }
        signals.watch { _ in task.cancel() }
        defer { withExtendedLifetime(signals) {} }
        do { return try await task.value } catch { throw OperatorRequestFailure(error) }
    }
}
