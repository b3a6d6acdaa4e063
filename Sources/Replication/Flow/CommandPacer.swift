import Link

/// `advanced.qps`: so many commands a second over all flows, and no more.
///
/// A bucket that fills steadily and holds a tenth of a second's commands. A transaction goes when there is anything in the
/// bucket and may leave it in debt; the next one waits until the debt is paid. The source's flows are read meanwhile.
package final class CommandPacer: Sendable {
    private struct Bucket {
        var commands: Double
        var filledAt: ContinuousClock.Instant
    }

    private let commandsPerSecond: Double
    private let capacity: Double
    private let now: @Sendable () -> ContinuousClock.Instant
    private let bucket: Lock<Bucket>

    package init(commandsPerSecond: Int, now: @escaping @Sendable () -> ContinuousClock.Instant = { .now }) {
        precondition(commandsPerSecond > 0, "no limit is no pacer")
        self.commandsPerSecond = Double(commandsPerSecond)
        capacity = Double(Self.share(of: commandsPerSecond))
        self.now = now
        bucket = Lock(Bucket(commands: capacity, filledAt: now()))
    }

    /// How many commands a transaction should have at most, so that the pace is even.
    package static func share(of commandsPerSecond: Int) -> Int { max(commandsPerSecond / 10, 1) }

    /// Takes `commands` out of the bucket.
    ///
    /// - Returns: how long to wait before trying again, when nothing could be taken.
    package func wait(toSend commands: Int) -> Duration? {
        let time = now()
        return bucket.withLock { bucket in
            let passed = bucket.filledAt.duration(to: time).secondsAsDouble
            bucket.commands = min(capacity, bucket.commands + passed * commandsPerSecond)
            bucket.filledAt = time
            // Half a command is what rounding leaves of a wait that was long enough.
            guard bucket.commands >= 0.5 else { return .seconds((1 - bucket.commands) / commandsPerSecond) }
            bucket.commands -= Double(commands)
            return nil
        }
    }
}
