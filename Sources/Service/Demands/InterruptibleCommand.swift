/// Runs the work of a command until it is done, or the operator interrupts it.
enum InterruptibleCommand {
    /// - Parameter onInterrupt: called with the signal's name.
    static func run<Result: Sendable>(
        onInterrupt: @escaping @Sendable (String) -> Void, _ work: @escaping @Sendable () async throws -> Result
    ) async throws(DemandFailure) -> Result {
        var signals = SignalWatcher()
        let task = Task { try await work() }
        signals.watch { name in
            onInterrupt(name)
            task.cancel()
        }
        defer { withExtendedLifetime(signals) {} }
        do { return try await task.value } catch { throw DemandFailure(error) }
    }
}
