import Redis

/// Where in its stream a flow's encoder is: the LSN of the next record, and when what is being decoded arrived.
///
/// Times are Unix milliseconds by the source's clock, as those in the stream are.
final class StreamPosition {
    /// The LSN of the next record; 0 until the flow has said it.
    var nextLSN: UInt64
    /// Records before it may have been written long before they arrived.
    var catchUpEnd: UInt64
    /// When what is being decoded arrived.
    private(set) var arrival: Int64 = 0
    /// When the oldest of it did.
    private(set) var oldestArrival: Int64 = 0

    /// - Parameter next: where a continued flow begins; `nil` for a full sync.
    init(next: UInt64?) {
        nextLSN = next ?? 0
        // How far what comes is older than the session, the source says when it has begun.
        catchUpEnd = next == nil ? 0 : .max
    }

    func setArrival(newest: Int64, oldest: Int64) { (arrival, oldestArrival) = (newest, oldest) }

    var isCatchingUp: Bool { nextLSN < catchUpEnd }

    /// When the source did what is being decoded.
    var window: ExecutionWindow {
        let earliest = isCatchingUp ? 0 : oldestArrival - ElementExpiry.transitMilliseconds
        return ExecutionWindow(earliest: min(earliest, arrival), latest: arrival)
    }
}
