import Link

/// Decides when a batch that is not full is sent and when a batch has to wait for `advanced.qps`. Pure: the caller passes
/// the time.
struct SendSchedule {
    /// How long after the previous send a batch waits for more commands.
    static let linger = Duration.milliseconds(1)

    private enum Pause {
        case none
        /// A batch waits for more commands.
        case lingering
        /// A batch waits for its turn under `advanced.qps`.
        case pacing
    }

    private var pause = Pause.none
    private var lastSend: ContinuousClock.Instant?

    /// Whether a batch waits for its turn under `advanced.qps`.
    var isPacing: Bool {
        if case .pacing = pause { true } else { false }
    }

    mutating func sent(at now: ContinuousClock.Instant) {
        lastSend = now
        pause = .none
    }

    mutating func mustPace() { pause = .pacing }

    /// Ends the pause.
    mutating func resume() { pause = .none }

    enum Turn: Equatable {
        case now
        /// Not yet. The caller must call `resume` after this time.
        case after(Duration)
        /// Not yet. A call of `resume` is already scheduled.
        case waiting
    }

    /// Decides whether a batch is sent now. In a quiet flow it is sent at once; in a busy flow it waits a moment for more
    /// commands, because each transaction costs both sides a turn.
    mutating func turn(at now: ContinuousClock.Instant) -> Turn {
        guard let lastSend, now < lastSend + Self.linger else { return .now }
        if case .lingering = pause { return .waiting }
        pause = .lingering
        return .after(now.duration(to: lastSend + Self.linger))
    }
}
