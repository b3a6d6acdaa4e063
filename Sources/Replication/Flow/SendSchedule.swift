import Link

/// When a batch that is not full is sent, and when one has to wait for `advanced.qps`. Pure: the time is passed in.
struct SendSchedule {
    /// How long a batch waits for more after the one before was sent.
    static let linger = Duration.milliseconds(1)

    private enum Pause {
        case none
        /// For more to come.
        case lingering
        /// For its turn.
        case pacing
    }

    private var pause = Pause.none
    private var lastSend: ContinuousClock.Instant?

    /// A batch waits for its turn.
    var isPacing: Bool {
        if case .pacing = pause { true } else { false }
    }

    mutating func sent(at now: ContinuousClock.Instant) {
        lastSend = now
        pause = .none
    }

    mutating func mustPace() { pause = .pacing }

    /// What the pause was for may have come.
    mutating func resume() { pause = .none }

    enum Turn: Equatable {
        case now
        /// Somebody is to call `resume` then.
        case after(Duration)
        /// As before, and somebody will.
        case waiting
    }

    /// In a quiet flow a batch goes at once; in a busy one it waits a moment for more, since each transaction costs both
    /// sides a turn.
    mutating func turn(at now: ContinuousClock.Instant) -> Turn {
        guard let lastSend, now < lastSend + Self.linger else { return .now }
        if case .lingering = pause { return .waiting }
        pause = .lingering
        return .after(now.duration(to: lastSend + Self.linger))
    }
}
