import Base
package import Dashboard
import Replication

/// The tasks of this machine as a table, for `df2redis status`.
package struct TaskTable: Sendable {
    package enum Row: Sendable {
        case running(StatusDocument)
        /// A task without a status: its name, why there is none, and a text for the operator.
        case absent(String, Absence, String)
    }

    /// The reason why there is no status of a task.
    package enum Absence: String, Sendable {
        case notRunning = "not running"
        /// The task does not run and does not start, because clients write to its target.
        case cutOver = "cut over"
        /// The task's process exists, but hangs or gives no useful answer.
        case noAnswer = "no answer"
        case noPermission = "no permission"

        init(_ failure: ControlClient.Failure) {
            self =
                switch failure {
                case .notRunning: .notRunning
                case .notPermitted, .forbidden: .noPermission
                case .silent, .failed, .refused, .impossible, .outdated: .noAnswer
                }
        }
    }

    private static let titles = ["TASK", "STATE", "KEYS", "RECORDS", "LAG", "UP", "SOURCE", "TARGET", "PAGE"]

    private let rows: [Row]
    private let now: Int64

    /// - Parameter now: Unix time in seconds.
    package init(_ rows: [Row], now: Int64 = WallClock.milliseconds() / 1000) {
        self.rows = rows
        self.now = now
    }

    /// One line per task under a line of titles, and a line with the reason below a task that is not well or needs action.
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
        case .absent(let name, let absence, _):
            [name, absence.rawValue] + [String](repeating: "-", count: Self.titles.count - 2)
        case .running(let task):
            [
                task.task, task.state, task.targetKeys.map { "\($0)" } ?? "-", "\(task.records)",
                task.lagSeconds.map { "\($0) s" } ?? "-", Self.age(max(now - task.startedAt, 0)), task.source,
                task.target, task.dashboard ?? "-",
            ]
        }
    }

    private static func note(on row: Row) -> String? {
        switch row {
        case .absent(_, _, let reason): reason.isEmpty ? nil : reason
        case .running(let task): task.trouble ?? task.health.detail
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

extension StatusDocument {
    /// Whether the task waits for its target. Its health is good then, but an operator does not expect this state.
    private var waitsForTarget: Bool { health.code == nil && targetLost && phase != .leaving }

    /// The state in one word.
    fileprivate var state: String {
        (health.code ?? (waitsForTarget ? .targetLost : nil))?.rawValue ?? phase.rawValue
    }

    fileprivate var trouble: String? {
        health.reason ?? (waitsForTarget ? "the target does not serve: \(targetLoss ?? summary)" : nil)
    }
}

extension String {
    fileprivate func trimmingEnd() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
