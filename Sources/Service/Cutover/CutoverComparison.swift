import Base
import Comparison

/// Compares keys of both sides while writers wait: none, a sample or all, as the operator requested.
struct CutoverComparison {
    /// The time between two checks whether the task still follows.
    private static let pause = Duration.milliseconds(200)

    private let task: CutoverTask
    private let request: CutoverService.Request
    private let say: @Sendable (String) -> Void

    init(_ task: CutoverTask, _ request: CutoverService.Request, say: @escaping @Sendable (String) -> Void) {
        (self.task, self.request, self.say) = (task, request, say)
    }

    /// - Throws: `CutoverFailure`, `ComparisonService.Failure`, `ControlClient.Failure` when the task has ended, `CancellationError`.
    func run(until deadline: ContinuousClock.Instant) async throws {
        var comparison = ComparisonService.Request()
        switch request.check {
        case .none: return
        case .all: break
        case .sample(let percent): comparison.samplePercent = percent
        }
        // With a pause no change is under way that the comparison would have to wait for.
        comparison.settleSeconds = request.pauses ? 0.2 : 2
        let service = ComparisonService(configuration: task.configuration, request: comparison)
        let outcome = try await withThrowingTaskGroup(of: ComparisonService.Outcome?.self) { group in
            group.addTask { try await service.run { _ in } }
            // End the comparison early if the task is gone.
            group.addTask { [task] in
                while ContinuousClock.now < deadline {
                    try await Task.sleep(until: min(deadline, .now + Self.pause), clock: .continuous)
                    _ = try await task.stablePositions()
                }
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        guard let outcome else {
            throw CutoverFailure(
                "the comparison was not done in time", .notDone,
                advice:
                    "give it more with --pause-limit, take a smaller sample, or run 'df2redis check' before and use --check none"
            )
        }
        guard outcome.summary.isEqual else {
            let differences = outcome.summary.differenceCount
            throw CutoverFailure(
                "\(differences) of \(counted(outcome.summary.keys, "key")) \(differences == 1 ? "differs" : "differ"), \(outcome.listing)",
                .keysDiffer)
        }
        let leftOut = outcome.summary.leftOutCount
        let equal = outcome.summary.keys - outcome.summary.leftOut.values.reduce(0, +)
        let exception = leftOut > 0 ? ", \(leftOut) \(leftOut == 1 ? "is" : "are") left out by policy" : ""
        say("\(counted(equal, "key", "is", "are")) equal on both sides\(exception)")
    }
}
