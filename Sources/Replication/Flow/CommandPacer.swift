import Link

/// Limits the number of commands a second over all flows (`advanced.qps`).
///
/// The limit is a bucket that fills steadily and holds at most a tenth of a second's commands. A transaction may be sent if
/// the bucket is not empty, and may leave it in debt; the next transaction waits until the debt is paid. The source's flows
/// are read meanwhile.
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

    /// The number of commands that a transaction should not exceed, so that the pace is even.
    package static func share(of commandsPerSecond: Int) -> Int { max(commandsPerSecond / 10, 1) }

    /// Takes `commands` out of the bucket.
    ///
    /// - Returns: how long to wait before trying again if the bucket is empty; `nil` if the commands may be sent.
    package func wait(toSend commands: Int) -> Duration? {
        let time = now()
        return bucket.withLock { bucket in
            let passed = bucket.filledAt.duration(to: time).secondsAsDouble
            bucket.commands = min(capacity, bucket.commands + passed * commandsPerSecond)
            bucket.filledAt = time
            // Rounding can leave a bucket half a command short after a wait that was long enough.
            guard bucket.commands >= 0.5 else { return .seconds((1 - bucket.commands) / commandsPerSecond) }
            bucket.commands -= Double(commands)
            return nil
        }
    }
}
