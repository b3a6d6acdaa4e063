import Dragonfly
import Redis

/// How a flow reconnects to its target.
struct ReconnectPlan: Equatable {
    /// The number of earlier attempts, which counts for the first wait.
    var attemptsBefore: Int
    /// Whether the first attempt is made without a wait.
    var isAtOnce: Bool
}

/// Connects a flow to its target, retrying with longer and longer waits until it succeeds.
struct LinkSupervisor {
    private let target: any FlowTarget
    private let retry: RetryPolicy
    private let locator: SentinelLocator?

    /// - Parameter locator: ends a wait early if the target moves.
    init(_ target: any FlowTarget, retry: RetryPolicy, locator: SentinelLocator?) {
        self.target = target
        self.retry = retry
        self.locator = locator
    }

    /// - Parameters:
    ///   - onFailure: gets the error of a failed attempt before the next attempt.
    /// - Returns: what the target holds and whether the first attempt succeeded; `nil` if the task was cancelled.
    /// - Throws: `TargetError` if another attempt cannot help.
    func connect(
        _ plan: ReconnectPlan, isolation: isolated (any Actor)? = #isolation, onFailure: (TargetError) -> Void
    ) async throws -> (finding: FlowTargetFinding, isAtFirstAttempt: Bool)? {
        var attempt = plan.attemptsBefore
        while !Task.isCancelled {
            attempt += 1
            let isFirst = attempt == plan.attemptsBefore + 1
            if !isFirst || !plan.isAtOnce { await Self.wait(for: retry.wait(before: attempt), locator) }
            if Task.isCancelled { break }
            do {
                let finding = try await target.open(isolation: isolation)
                return Task.isCancelled ? nil : (finding, isFirst)
            } catch {
                let reason = TargetError(error)
                guard reason.isTransient else { throw reason }
                if !Task.isCancelled { onFailure(reason) }
            }
        }
        return nil
    }

    private static func wait(for time: Duration, _ locator: SentinelLocator?) async {
        if let locator { return await locator.wait(for: time) }
        try? await Task.sleep(for: time)
    }
}
