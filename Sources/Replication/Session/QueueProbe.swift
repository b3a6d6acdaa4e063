package import Dispatch
import Synchronization

/// Checks whether a queue still runs its work.
///
/// Each poll enqueues a closure, unless the queue has not run the previous one yet. The probe counts polls, not seconds,
/// because a process that was stopped as a whole, or whose machine was asleep, has not hung.
package final class QueueProbe: Sendable {
    package let name: String
    private let queue: DispatchQueue
    private let body: @Sendable () -> Void
    private let hasAnswered = Atomic<Bool>(true)
    private let missed = Atomic<Int>(0)

    /// - Parameter body: additional work for each of the queue's turns.
    package init(_ name: String, queue: DispatchQueue, body: @escaping @Sendable () -> Void = {}) {
        self.name = name
        self.queue = queue
        self.body = body
    }

    /// Whether the queue has run the closure of the last poll.
    package var isAnswered: Bool { hasAnswered.load(ordering: .acquiring) }

    /// Polls the queue. Call it from one thread at a time.
    ///
    /// - Returns: the number of polls in a row that found no answer.
    package func poll() -> Int {
        guard hasAnswered.exchange(false, ordering: .acquiringAndReleasing) else {
            return missed.add(1, ordering: .relaxed).newValue
        }
        missed.store(0, ordering: .relaxed)
        queue.async { [self] in
            body()
            hasAnswered.store(true, ordering: .releasing)
        }
        return 0
    }
}

/// The parts that hang. Each is reported once when it begins to hang and once when it has recovered.
struct HangReport {
    enum Change: Equatable {
        case hangs(String)
        case recovered(String)
    }

    private(set) var names: Set<String> = []

    mutating func update(_ now: Set<String>) -> [Change] {
        defer { names = now }
        return now.subtracting(names).sorted().map(Change.hangs)
            + names.subtracting(now).sorted().map(Change.recovered)
    }
}
