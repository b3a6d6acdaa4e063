/// Bounds how often something is done again that is done at once wherever it is needed: reading the topology, connecting to a
/// node that lets go of its connections.
///
/// The first times follow each other at once, the next ones after longer and longer pauses, up to four a second. Pure.
struct RetryPace {
    private static let unpaced = 2
    private static let shortest = Duration.milliseconds(20)
    static let longest = Duration.milliseconds(250)
    /// After so long a time without it begins anew.
    static let calm = Duration.seconds(5)

    private var count = 0
    private var last: ContinuousClock.Instant?

    /// How long to wait before it is done next.
    func pause(at now: ContinuousClock.Instant) -> Duration {
        guard let last, count >= Self.unpaced, last.duration(to: now) < Self.calm else { return .zero }
        var length = Self.shortest
        for _ in Self.unpaced..<count where length < Self.longest { length = length * 2 }
        return max(.zero, min(length, Self.longest) - last.duration(to: now))
    }

    mutating func began(at now: ContinuousClock.Instant) {
        if let last, last.duration(to: now) >= Self.calm { count = 0 }
        (count, last) = (count + 1, now)
    }

    /// It has brought something new.
    mutating func reset() { count = 0 }
}
