import Logging
import Redis

/// Repeats requests while the target is unreachable.
@SessionActor
struct TargetRetry {
    private static let maxAttempts = 1000

    let policy: RetryPolicy
    let logger: Logger
    let health: SessionHealth
    let leaveRequest: LeaveRequest
    let flows: SessionFlows

    /// Runs `body` until it succeeds.
    ///
    /// - Parameter body: may run any number of times.
    /// - Throws: `TargetError` if another attempt would not help or the operator wants to leave; any other error of `body`
    ///   at once.
    func callAsFunction<R>(_ body: @SessionActor () async throws -> R) async throws -> R {
        var attempt = 0
        while true {
            health.begin("a request to the target", atMost: .seconds(600))
            do { return try await body() } catch let error as TargetError {
                attempt += 1
                guard error.isTransient, !leaveRequest.isMade, attempt < Self.maxAttempts else { throw error }
                let level: Logger.Level = attempt == 1 && !flows.isTargetLost ? .warning : .debug
                logger.log(level: level, "\(error)", metadata: ["event": "targetLost"])
                try? await Task.sleep(for: policy.wait(before: attempt))
            }
        }
    }
}
