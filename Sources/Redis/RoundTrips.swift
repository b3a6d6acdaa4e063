import Link

/// How far away a target is, by how soon it answers when nothing else is on its way. Pure: the time is passed in.
struct RoundTrips {
    /// Of a target that is near: one batch is executed while the next is on its way.
    static let leastWindowBytes = 512 << 10
    static let mostWindowBytes = 4 << 20
    /// No flow brings more to one target.
    private static let bytesPerSecond = 64_000_000.0

    /// A wake-up for the first reply alone is spent on so many requests at first, and then on one of so many.
    private static let measured = 16

    private var askedAt: ContinuousClock.Instant?
    private var count = 0
    /// The first reply is waited for by itself.
    var isMeasuring: Bool { askedAt != nil }
    /// The quickest answer, forgotten little by little, since a path may become longer.
    private(set) var least = Duration.zero

    /// A request has been sent, and there was none before that the target had to answer.
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

    /// What has to be on its way for the target to have something to do all the time.
    var windowBytes: Int {
        min(Self.leastWindowBytes + Int(least.secondsAsDouble * Self.bytesPerSecond), Self.mostWindowBytes)
    }

    /// The same for transactions that are sent one at a time, in bytes of one.
    var batchBytes: Int { min(Int(least.secondsAsDouble * Self.bytesPerSecond / 2), Self.mostWindowBytes / 2) }
}
