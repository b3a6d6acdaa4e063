import Link

/// When a flow is read again after all that had arrived was read. Pure: the time is passed in.
///
/// A source writes a flow in pieces of a few KiB. Each piece that is waited for by itself costs several changes of threads,
/// which the source may have to do without on a machine that both share. So a flow that brings a little again and again
/// is read every two milliseconds, about as long as its batch would wait for more anyway, and every four as soon as that is
/// many records; a quiet flow at once; and one that brings much, as fast as it comes.
struct ReadPace {
    /// A flow that brings something again so soon is busy.
    static let busyInterval = Duration.microseconds(1500)
    static let shortPause = Duration.milliseconds(2)
    static let longPause = Duration.milliseconds(4)
    /// A flow that brings so much in a turn is read after the long pause.
    static let longPauseBytes = 8 << 10
    /// So much in a turn is read on at once: the kernel's room for the flow may be little more.
    static let fastTurnBytes = 64 << 10

    private var lastTurn: ContinuousClock.Instant?
    private var isPausing = false

    /// All that had arrived has been read: `bytes`.
    ///
    /// - Returns: how long to wait before the next turn; `nil`: until the kernel reports something.
    mutating func turnEnded(bytes: Int, at now: ContinuousClock.Instant) -> Duration? {
        let isBusy = isPausing || lastTurn.map { $0.duration(to: now) < Self.busyInterval } ?? false
        lastTurn = now
        isPausing = isBusy && bytes > 0 && bytes < Self.fastTurnBytes
        guard isPausing else { return nil }
        return bytes < Self.longPauseBytes ? Self.shortPause : Self.longPause
    }
}
