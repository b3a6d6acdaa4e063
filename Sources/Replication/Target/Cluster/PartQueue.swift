import Link
import Redis

/// Parts of a work in slots that are to be sent, or asked about: now, or after a pause, and to which node.
///
/// Pure.
struct PartQueue {
    private(set) var ready: [Int]
    private var later: [(part: Int, time: ContinuousClock.Instant)] = []
    /// Where an `ASK` has sent a part, once.
    private var asked: [Int: Endpoint] = [:]

    init(_ parts: Range<Int> = 0..<0) { ready = Array(parts) }

    mutating func add(
        _ part: Int, after wait: Duration = .zero, at now: @autoclosure () -> ContinuousClock.Instant = .now
    ) {
        if wait == .zero { ready.append(part) } else { later.append((part, now() + wait)) }
    }

    /// Parts whose pause is over are ready.
    mutating func becomeDue(at now: @autoclosure () -> ContinuousClock.Instant) {
        guard !later.isEmpty else { return }
        let now = now()
        ready += later.filter { $0.time <= now }.map(\.part)
        later.removeAll { $0.time <= now }
    }

    /// The part goes to `endpoint` the next time, and no further.
    mutating func ask(_ part: Int, at endpoint: Endpoint?) { asked[part] = endpoint }

    func askedNode(of part: Int) -> Endpoint? { asked[part] }

    /// - Returns: whether the part goes where an `ASK` has sent it, which it does once.
    mutating func takeAsking(_ part: Int) -> Bool { asked.removeValue(forKey: part) != nil }

    /// The node cannot be reached: the slot's master says where what was to go there is to go now.
    mutating func forgetAsking(at endpoint: Endpoint) { asked = asked.filter { $0.value != endpoint } }

    /// What was on its way is to be sent again, wherever it was to go.
    mutating func restart(_ parts: some Sequence<Int>) {
        let restarted = Set(parts)
        for part in restarted { asked[part] = nil }
        later.removeAll { restarted.contains($0.part) }
        ready.removeAll(where: restarted.contains)
        ready += restarted.sorted()
    }

    /// Takes all that is ready.
    mutating func takeReady() -> [Int] {
        defer { ready = [] }
        return ready
    }
}
