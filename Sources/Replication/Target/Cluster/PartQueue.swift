import Link
import Redis

/// The parts of a `SlotWork` that wait to be sent, now or after a pause, and the node that each goes to.
///
/// Pure.
struct PartQueue {
    private(set) var ready: [Int]
    private var later: [(part: Int, time: ContinuousClock.Instant)] = []
    /// The node that an `ASK` named for a part. It holds for one attempt.
    private var asked: [Int: Endpoint] = [:]

    init(_ parts: Range<Int> = 0..<0) { ready = Array(parts) }

    mutating func add(
        _ part: Int, after wait: Duration = .zero, at now: @autoclosure () -> ContinuousClock.Instant = .now
    ) {
        if wait == .zero { ready.append(part) } else { later.append((part, now() + wait)) }
    }

    /// Makes the parts ready whose pause is over.
    mutating func becomeDue(at now: @autoclosure () -> ContinuousClock.Instant) {
        guard !later.isEmpty else { return }
        let now = now()
        ready += later.filter { $0.time <= now }.map(\.part)
        later.removeAll { $0.time <= now }
    }

    /// Sends the part to `endpoint` at the next attempt only.
    mutating func ask(_ part: Int, at endpoint: Endpoint?) { asked[part] = endpoint }

    func askedNode(of part: Int) -> Endpoint? { asked[part] }

    /// Forgets the node that an `ASK` named for the part.
    ///
    /// - Returns: whether there was one.
    mutating func takeAsking(_ part: Int) -> Bool { asked.removeValue(forKey: part) != nil }

    /// Forgets a node that cannot be reached. The slot's master says where these parts go instead.
    mutating func forgetAsking(at endpoint: Endpoint) { asked = asked.filter { $0.value != endpoint } }

    /// Makes parts ready again whose connection was lost.
    mutating func restart(_ parts: some Sequence<Int>) {
        let restarted = Set(parts)
        for part in restarted { asked[part] = nil }
        later.removeAll { restarted.contains($0.part) }
        ready.removeAll(where: restarted.contains)
        ready += restarted.sorted()
    }

    /// Removes and returns the parts that are ready.
    mutating func takeReady() -> [Int] {
        defer { ready = [] }
        return ready
    }
}
