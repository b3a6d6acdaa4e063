import Base
import Dispatch
import Redis

/// Runs work in slots for a caller that waits for its end, one piece at a time, until the target is closed.
///
/// Confined to the queue of its flow.
final class WorkWaiter: @unchecked Sendable {  // confined to the queue of its flow; its timer hops back to it
    private let runner: SlotRunner
    private let queue: DispatchQueue
    /// The number and the caller of the work that is running.
    private var waiting: (number: Int, continuation: CheckedContinuation<SlotWork, any Error>)?
    private var works = 0
    /// When the caller began to wait; `nil` if nobody waits.
    private(set) var waitsSince: ContinuousClock.Instant?
    private var isClosed = false

    init(_ runner: SlotRunner, queue: DispatchQueue) { (self.runner, self.queue) = (runner, queue) }

    var isWaiting: Bool { waiting != nil }

    /// - Parameter limit: how long the cluster may take.
    /// - Throws: `TargetError` if the work fails or takes too long, or if the target is closed meanwhile.
    func run(
        _ work: SlotWork, within limit: Duration = .seconds(30), isolation: isolated (any Actor)? = #isolation
    ) async throws -> SlotWork {
        let work = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<SlotWork, any Error>) in
            guard !isClosed else { return continuation.resume(throwing: Self.closed) }
            works += 1
            (waiting, waitsSince) = ((works, continuation), .now)
            runner.run(work) { [weak self] in self?.end(.success($0)) }
            queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self, works] in
                guard let self, waiting?.number == works else { return }
                let obstacle = work.obstacle.map { ": \($0)" } ?? ""
                end(.failure(TargetError(.unreachable, "the cluster does not answer within \(limit)\(obstacle)")))
            }
        }
        if let failure = work.failure { throw failure }
        return work
    }

    /// Ends the wait, if a caller waits.
    func end(_ result: Result<SlotWork, any Error>) {
        let continuation = waiting?.continuation
        (waiting, waitsSince) = (nil, nil)
        continuation?.resume(with: result)
    }

    func close() {
        isClosed = true
        end(.failure(Self.closed))
    }

    private static let closed = TargetError(.unreachable, "the target was closed")
}
