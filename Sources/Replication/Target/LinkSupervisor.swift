import Dragonfly
import Redis

/// How a flow is to reach its target again.
struct ReconnectPlan: Equatable {
    /// Attempts that count for the first wait.
    var attemptsBefore: Int
    /// The first attempt is made without a wait.
    var isAtOnce: Bool
}

/// Connects a flow to its target until that succeeds, waiting longer after each attempt.
struct LinkSupervisor {
    private let target: any FlowTarget
    private let retry: RetryPolicy
    private let locator: SentinelLocator?

    /// - Parameter locator: a move of the target ends a wait.
    init(_ target: any FlowTarget, retry: RetryPolicy, locator: SentinelLocator?) {
        self.target = target
        self.retry = retry
        self.locator = locator
    }

    /// - Parameters:
    ///   - onFailure: is given what a failed attempt has failed of; the next one follows.
    /// - Returns: what the target holds, and whether the first attempt succeeded; `nil` when the task was cancelled.
    /// - Throws: `TargetError`, when no other attempt mends it.
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
