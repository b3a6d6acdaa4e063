package import Dispatch
import Synchronization

/// Asks a queue whether it still gets its turn.
///
/// At each poll the queue is handed a closure, unless it has not run the last one. Polls are counted, not seconds: a
/// process that was stopped as a whole, or whose machine slept, has not hung.
package final class QueueProbe: Sendable {
    package let name: String
    private let queue: DispatchQueue
    private let body: @Sendable () -> Void
    private let hasAnswered = Atomic<Bool>(true)
    private let missed = Atomic<Int>(0)

    /// - Parameter body: what else is done in the queue's turn.
    package init(_ name: String, queue: DispatchQueue, body: @escaping @Sendable () -> Void = {}) {
        self.name = name
        self.queue = queue
        self.body = body
    }

    /// The queue has had its turn since the last poll.
    package var isAnswered: Bool { hasAnswered.load(ordering: .acquiring) }

    /// From one thread at a time.
    ///
    /// - Returns: at how many polls in a row the queue had not answered.
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

/// What hangs, as it is reported: once when it begins and once when it is over.
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
