import DequeModule

/// The arrival times of a flow's bytes, precise enough to give the age of the oldest byte that is not applied.
///
/// ```
/// bytes of the flow   0 ───────┬──────────┬─────┬─────────▶ received
///                     applied  │ mark     │ mark│ mark      each covers what arrived within a span from its first byte on
/// ```
/// So an age is never too small, and too large by at most a span: a tenth of a second, or more if a long lag has produced
/// many marks. The age depends on two positions only, not on where the bytes between them are.
struct ArrivalLog {
    static let shortestSpan = Duration.milliseconds(100)
    static let maxMarks = 2048

    private struct Mark {
        var end: UInt64
        let time: ContinuousClock.Instant
    }

    private var marks = Deque<Mark>()
    private(set) var span = Self.shortestSpan

    var markCount: Int { marks.count }

    /// Notes that the flow has been received up to the byte `end`.
    mutating func received(upTo end: UInt64, at time: ContinuousClock.Instant) {
        if let last = marks.last, last.time.duration(to: time) < span {
            marks[marks.count - 1].end = end
            return
        }
        if marks.count >= Self.maxMarks { thin() }
        marks.append(Mark(end: end, time: time))
    }

    /// Returns when the oldest byte after the first `applied` bytes arrived, or `nil` if there is none. Marks of applied
    /// bytes are removed.
    mutating func oldest(behind applied: UInt64) -> ContinuousClock.Instant? {
        while let first = marks.first, first.end <= applied { marks.removeFirst() }
        if marks.isEmpty { span = Self.shortestSpan }
        return marks.first?.time
    }

    /// Merges every two neighbours.
    private mutating func thin() {
        var merged = Deque<Mark>()
        for index in stride(from: 0, to: marks.count, by: 2) {
            merged.append(Mark(end: marks[min(index + 1, marks.count - 1)].end, time: marks[index].time))
        }
        marks = merged
        span *= 2
    }
}
