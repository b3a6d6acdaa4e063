import Base

/// The tasks of this machine as a table, for `df2redis status`.
package struct TaskTable: Sendable {
    package enum Row: Sendable {
        case running(RunningTask)
        /// A name without a process, and why it is in the table.
        case absent(String, String)
    }

    private static let titles = ["TASK", "STATE", "KEYS", "RECORDS", "LAG", "UP", "SOURCE", "TARGET", "PAGE"]

    private let rows: [Row]
    private let now: Int64

    /// - Parameter now: Unix time in seconds.
    package init(_ rows: [Row], now: Int64 = WallClock.milliseconds() / 1000) {
        self.rows = rows
        self.now = now
    }

    /// One line a task under a line of titles, and a line with the reason under a task that is not well.
    package var text: String {
        let cells = [Self.titles] + rows.map(cells)
        let widths = Self.titles.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        var lines: [String] = []
        for (index, row) in cells.enumerated() {
            let line = zip(row, widths).map { $0.padded(to: $1) }.joined(separator: "  ")
            lines.append(line.trimmingEnd())
            if index > 0, let note = Self.note(on: rows[index - 1]) { lines.append("  \(note)") }
        }
        return lines.joined(separator: "\n")
    }

    private func cells(_ row: Row) -> [String] {
        switch row {
        case .absent(let name, _): [name, "not running"] + [String](repeating: "-", count: Self.titles.count - 2)
        case .running(let task):
            [
                task.task, task.health.code ?? task.phase, "\(task.keys)", "\(task.records)",
                task.lagSeconds.map { "\($0) s" } ?? "-", Self.age(max(now - task.startedAt, 0)), task.source,
                task.target, task.dashboard ?? "-",
            ]
        }
    }

    private static func note(on row: Row) -> String? {
        switch row {
        case .absent(_, let reason): reason.isEmpty ? nil : reason
        case .running(let task): task.health.reason
        }
    }

    static func age(_ seconds: Int64) -> String {
        switch seconds {
        case ..<120: "\(seconds)s"
        case ..<7200: "\(seconds / 60)m"
        case ..<172_800: "\(seconds / 3600)h"
        default: "\(seconds / 86_400)d"
        }
    }
}

extension String {
    fileprivate func trimmingEnd() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
