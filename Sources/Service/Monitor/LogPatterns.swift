/// Raises an alert if a recent line of the source's log contains one of the patterns. Pure.
struct LogPatterns {
    private let patterns: [String]
    private let quiet: Duration
    private var last: (line: String, time: ContinuousClock.Instant)?

    init(_ patterns: [String], quiet: Duration) {
        self.patterns = patterns
        self.quiet = quiet
    }

    mutating func alert(_ lines: [String], at now: ContinuousClock.Instant) -> Alert? {
        if let line = lines.last(where: { line in patterns.contains { line.contains($0) } }) { last = (line, now) }
        guard let last, last.time.duration(to: now) < quiet else { return nil }
        return Alert(name: "log", message: "the source's log says: \(last.line.prefix(500))")
    }
}
