import DequeModule

/// When a flow's bytes arrived, as closely as it takes to know how old the oldest of them is that is not applied.
///
/// ```
/// bytes of the flow   0 ───────┬──────────┬─────┬─────────▶ received
///                     applied  │ mark     │ mark│ mark      each covers what came within a span from its first byte on
/// ```
/// So an age is never given too small, and too large by a span at most: a tenth of a second, more only when a long lag has
/// made the marks many. It depends on two positions alone, not on where the bytes are in between.
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

    /// The flow has been received up to the byte `end`.
    mutating func received(upTo end: UInt64, at time: ContinuousClock.Instant) {
        if let last = marks.last, last.time.duration(to: time) < span {
            marks[marks.count - 1].end = end
            return
        }
        if marks.count >= Self.maxMarks { thin() }
        marks.append(Mark(end: end, time: time))
    }

    /// When the oldest byte after the first `applied` arrived, `nil` when there is none; what is applied is forgotten.
    mutating func oldest(behind applied: UInt64) -> ContinuousClock.Instant? {
        while let first = marks.first, first.end <= applied { marks.removeFirst() }
        if marks.isEmpty { span = Self.shortestSpan }
        return marks.first?.time
    }

    /// Merges each two neighbours.
    private mutating func thin() {
        var merged = Deque<Mark>()
        for index in stride(from: 0, to: marks.count, by: 2) {
            merged.append(Mark(end: marks[min(index + 1, marks.count - 1)].end, time: marks[index].time))
        }
        marks = merged
        span *= 2
    }
}
