import Link

/// Decides when to read a flow again after everything that had arrived was read. Pure: the time is passed in.
///
/// A source writes a flow in pieces of a few KiB. Waiting for each piece separately costs several thread switches, which
/// take CPU time from the source if both share a machine. So a flow that repeatedly brings a little is read every two
/// milliseconds, which is about as long as its batch would wait for more anyway. If that brings many records, it is read
/// every four milliseconds. A quiet flow is read at once, and a flow that brings much as fast as it comes.
struct ReadPace {
    /// A flow is busy if it brings something again within this time.
    static let busyInterval = Duration.microseconds(1500)
    static let shortPause = Duration.milliseconds(2)
    static let longPause = Duration.milliseconds(4)
    /// A flow that brings at least this many bytes in a turn is read after the long pause.
    static let longPauseBytes = 8 << 10
    /// A flow that brings at least this many bytes in a turn is read on without a pause, because the kernel's buffer for
    /// the flow may be little larger.
    static let fastTurnBytes = 64 << 10

    private var lastTurn: ContinuousClock.Instant?
    private var isPausing = false

    /// Records that a turn has read everything that had arrived, `bytes` in all.
    ///
    /// - Returns: how long to wait before the next turn; `nil` to wait until the kernel reports new data.
    mutating func turnEnded(bytes: Int, at now: ContinuousClock.Instant) -> Duration? {
        let isBusy = isPausing || lastTurn.map { $0.duration(to: now) < Self.busyInterval } ?? false
        lastTurn = now
        isPausing = isBusy && bytes > 0 && bytes < Self.fastTurnBytes
        guard isPausing else { return nil }
        return bytes < Self.longPauseBytes ? Self.shortPause : Self.longPause
    }
}
