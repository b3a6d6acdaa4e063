import Link

/// Estimates how far away a target is from how soon it answers when nothing else is on its way.
///
/// Pure: the time is passed in.
struct RoundTrips {
    /// The window of a target that is near: one batch is executed while the next is on its way.
    static let leastWindowBytes = 512 << 10
    static let mostWindowBytes = 4 << 20
    /// The most that a flow sends to one target.
    private static let bytesPerSecond = 64_000_000.0

    /// The number of requests that are measured at the beginning. After them one request in this many is measured. Measuring
    /// costs a wake-up for the first reply alone.
    private static let measured = 16

    private var askedAt: ContinuousClock.Instant?
    private var count = 0
    /// Whether the next reply is being measured and therefore awaited by itself.
    var isMeasuring: Bool { askedAt != nil }
    /// The shortest round trip. It grows slowly with later answers, because a path may become longer.
    private(set) var least = Duration.zero

    /// Notes that a request has been sent while no other was outstanding.
    mutating func asked(at now: ContinuousClock.Instant) {
        count += 1
        askedAt = count <= Self.measured || count % Self.measured == 0 ? now : nil
    }

    mutating func answered(at now: ContinuousClock.Instant) {
        guard let askedAt else { return }
        self.askedAt = nil
        let time = askedAt.duration(to: now)
        least = least == .zero ? time : min(time, least * 1.1)
    }

    /// The number of bytes that must be on their way to keep the target busy all the time.
    var windowBytes: Int {
        min(Self.leastWindowBytes + Int(least.secondsAsDouble * Self.bytesPerSecond), Self.mostWindowBytes)
    }

    /// The size of a transaction that keeps the target busy if transactions are sent one at a time.
    var batchBytes: Int { min(Int(least.secondsAsDouble * Self.bytesPerSecond / 2), Self.mostWindowBytes / 2) }
}
