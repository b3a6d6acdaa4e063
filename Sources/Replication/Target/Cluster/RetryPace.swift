/// Limits how often an operation is repeated that is otherwise started at once whenever it is needed: reading the topology,
/// or connecting to a node that ends its connections.
///
/// The first operations are not delayed; later ones follow after longer and longer pauses, until there are four a second.
/// Pure.
struct RetryPace {
    private static let unpaced = 2
    private static let shortest = Duration.milliseconds(20)
    static let longest = Duration.milliseconds(250)
    /// After this time without the operation, the pauses begin anew.
    static let calm = Duration.seconds(5)

    private var count = 0
    private var last: ContinuousClock.Instant?

    /// Returns how long to wait before the next operation.
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

    /// Resets the pauses, because the operation has brought something new.
    mutating func reset() { count = 0 }
}
