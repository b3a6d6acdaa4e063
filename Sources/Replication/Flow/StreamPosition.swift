import Redis

/// The position of a flow's encoder in its stream: the LSN of the next record, and the arrival time of what is being
/// decoded.
///
/// Times are Unix milliseconds by the source's clock, as in the stream.
final class StreamPosition {
    /// The LSN of the next record; 0 until the flow has announced it.
    var nextLSN: UInt64
    /// The LSN before which records may have been written long before they arrived.
    var catchUpEnd: UInt64
    /// When the newest bytes being decoded arrived.
    private(set) var arrival: Int64 = 0
    /// When the oldest bytes being decoded arrived.
    private(set) var oldestArrival: Int64 = 0

    /// - Parameter next: the LSN at which a continued flow begins; `nil` for a full sync.
    init(next: UInt64?) {
        nextLSN = next ?? 0
        // In a continued flow every record may be old until the source has said at which LSN it was when the session began.
        catchUpEnd = next == nil ? 0 : .max
    }

    func setArrival(newest: Int64, oldest: Int64) { (arrival, oldestArrival) = (newest, oldest) }

    var isCatchingUp: Bool { nextLSN < catchUpEnd }

    /// The time span in which the source executed what is being decoded.
    var window: ExecutionWindow {
        let earliest = isCatchingUp ? 0 : oldestArrival - ElementExpiry.transitMilliseconds
        return ExecutionWindow(earliest: min(earliest, arrival), latest: arrival)
    }
}
