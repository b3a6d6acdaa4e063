import Comparison
import Link

/// The result of a comparison as text and as JSON.
package struct ComparisonReport: Sendable {
    private let outcome: ComparisonService.Outcome
    private var summary: ComparisonSummary { outcome.summary }

    package init(_ outcome: ComparisonService.Outcome) { self.outcome = outcome }

    /// A sentence, and a table by kind where there is something to list.
    package var text: String {
        let seconds = summary.elapsed.secondsAsDouble
        let rate = seconds > 0 ? Int(Double(summary.keys) / seconds) : 0
        let extent =
            "\(counted(summary.keys, "key")) of database\(summary.databases.count == 1 ? "" : "s") \(databases), mode \(summary.mode.rawValue), \(Self.tenths(seconds)) s (\(rate) keys/s)"
        var lines = [
            summary.isEqual
                ? "equal\(exception): \(extent)"
                : "\(counted(summary.differenceCount, "key", "differs", "differ")): \(extent)"
        ]
        var rows: [(String, Int, String)] = []
        for kind in KeyDifference.Kind.allCases {
            guard let types = summary.differences[kind] else { continue }
            rows.append((kind.rawValue, types.values.reduce(0, +), Self.list(types)))
        }
        if !summary.leftOut.isEmpty {
            let count = summary.leftOut.values.reduce(0, +)
            rows.append(("left out", count, "\(Self.list(summary.leftOut)): by policy.onUnsupported, no difference"))
        }
        for (database, count) in summary.leftOutDatabases.sorted(by: { $0.key < $1.key }) {
            rows.append(("left out", count, "all of database \(database): by policy, no difference"))
        }
        if summary.changing > 0 {
            rows.append(("changing", summary.changing, "written to each time they were read: not compared"))
        }
        if !summary.unread.isEmpty {
            rows.append(
                (
                    "unread", summary.unread.values.reduce(0, +),
                    "\(Self.list(summary.unread)): all but their values compared"
                ))
        }
        if summary.lateTTLs > 0 {
            rows.append(
                ("late", summary.lateTTLs, "TTLs with a margin of df2redis (expiry.guardSeconds): no difference"))
        }
        let width = rows.map { String($0.1).count }.max() ?? 0
        for (name, count, note) in rows {
            let number = String(count)
            lines.append(
                "  \(name.padded(to: 9))\(String(repeating: " ", count: width - number.count))\(number)  \(note)")
        }
        if outcome.fileFailure == nil {
            if !summary.isEqual {
                lines.append("the differing keys are in \(outcome.file)")
            } else if !summary.leftOut.isEmpty {
                lines.append("the keys that are left out are in \(outcome.file)")
            }
        }
        return lines.joined(separator: "\n")
    }

    package var json: String {
        let differences = summary.differences.sorted { $0.key.rawValue < $1.key.rawValue }
        return JSONText.object([
            ("equal", "\(summary.isEqual)"), ("mode", JSONText.quoted(summary.mode.rawValue)),
            ("databases", JSONText.array(summary.databases.map { "\($0)" })), ("keys", "\(summary.keys)"),
            ("different", "\(summary.differenceCount)"),
            ("differences", JSONText.object(differences.map { ($0.key.rawValue, Self.object($0.value)) })),
            ("changing", "\(summary.changing)"), ("leftOut", Self.object(summary.leftOut)),
            ("leftOutDatabases", Self.object(leftOutDatabases)), ("unread", Self.object(summary.unread)),
            ("lateTTLs", "\(summary.lateTTLs)"), ("seconds", Self.tenths(summary.elapsed.secondsAsDouble)),
            ("file", JSONText.quoted(outcome.file)),
        ])
    }

    private var leftOutDatabases: [String: Int] {
        [String: Int](uniqueKeysWithValues: summary.leftOutDatabases.map { ("\($0.key)", $0.value) })
    }

    /// What the sentence is not about.
    private var exception: String {
        let count = summary.leftOutCount
        return count == 0 ? "" : ", but for \(counted(count, "key")) left out by policy"
    }

    private var databases: String {
        summary.databases.isEmpty ? "none" : summary.databases.map(String.init).joined(separator: ", ")
    }

    private static func list(_ counts: [String: Int]) -> String {
        counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
    }

    private static func object(_ counts: [String: Int]) -> String {
        JSONText.object(counts.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") })
    }

    private static func tenths(_ seconds: Double) -> String { "\((seconds * 10).rounded() / 10)" }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
