import Dispatch
import Link
import Redis

/// Reads a cluster's topology again on request. There is one reading at a time, and the pauses between readings grow as long as
/// the topology stays the same.
///
/// Confined to the queue of its flow.
final class TopologyRefresh: @unchecked Sendable {  // confined to the queue of its flow; its task hops back to it
    private let cluster: ClusterConnector
    private let queue: DispatchQueue
    private let onResult: (Result<ClusterConnector.View, TargetError>) -> Void
    private var reading: Task<Void, Never>?
    private var last = ContinuousClock.now
    private var pace = RetryPace()

    /// - Parameter onResult: called on the queue.
    init(
        _ cluster: ClusterConnector, queue: DispatchQueue,
        onResult: @escaping (Result<ClusterConnector.View, TargetError>) -> Void
    ) {
        (self.cluster, self.queue, self.onResult) = (cluster, queue, onResult)
    }

    var isReading: Bool { reading != nil }

    /// The time since the last reading began.
    var age: Duration { last.duration(to: .now) }

    /// - Parameters:
    ///   - generation: the generation of the view that is outdated.
    ///   - informed: the node that probably knows better.
    func start(after generation: Int, asking informed: Endpoint?) {
        guard reading == nil else { return }
        let pause = pace.pause(at: .now)
        last = .now + pause
        pace.began(at: last)
        reading = Task { [cluster, queue] in
            if pause > .zero { try? await Task.sleep(for: pause) }
            if Task.isCancelled { return }
            do throws(TargetError) {
                let view = try await cluster.refresh(after: generation, asking: informed)
                queue.async { self.end(.success(view)) }
            } catch {
                queue.async { self.end(.failure(error)) }
            }
        }
    }

    private func end(_ result: Result<ClusterConnector.View, TargetError>) {
        reading = nil
        onResult(result)
    }

    /// Notes that the topology has changed, so that the next readings follow without a pause again.
    func hasChanged() { pace.reset() }

    func cancel() { reading?.cancel() }

    func join(isolation: isolated (any Actor)? = #isolation) async { await reading?.value }
}
