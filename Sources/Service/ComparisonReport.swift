import Comparison
import Link

/// The result of a comparison as text and as JSON.
package struct ComparisonReport: Sendable {
    private let outcome: ComparisonService.Outcome
    private var summary: ComparisonSummary { outcome.summary }

    package init(_ outcome: ComparisonService.Outcome) { self.outcome = outcome }

    /// The result in one sentence, a table of counts by kind if there are any, and the file that lists the keys.
    package var text: String { ([sentence] + table + (place.map { [$0] } ?? [])).joined(separator: "\n") }

    private var sentence: String {
        let seconds = summary.elapsed.secondsAsDouble
        let rate = seconds > 0 ? Int(Double(summary.keys) / seconds) : 0
        let extent =
            "\(counted(summary.keys, "key")) of database\(summary.databases.count == 1 ? "" : "s") \(databases), mode \(summary.mode.rawValue), \(Self.tenths(seconds)) s (\(rate) keys/s)"
        return summary.isEqual
            ? "equal\(exception): \(extent)"
            : "\(counted(summary.differenceCount, "key", "differs", "differ")): \(extent)"
    }

    private struct Row {
        let name: String
        let count: Int
        let note: String
    }

    private var rows: [Row] {
        var rows = KeyDifference.Kind.allCases.compactMap { kind in
            summary.differences[kind].map { Row(name: kind.rawValue, count: Self.sum($0), note: Self.list($0)) }
        }
        func add(_ name: String, _ count: Int, _ note: String) {
            if count > 0 { rows.append(Row(name: name, count: count, note: note)) }
        }
        let types = Self.list(summary.leftOut)
        add("left out", Self.sum(summary.leftOut), "\(types): by policy.onUnsupported, no difference")
        for (database, count) in summary.leftOutDatabases.sorted(by: { $0.key < $1.key }) {
            rows.append(
                Row(name: "left out", count: count, note: "all of database \(database): by policy, no difference"))
        }
        add("changing", summary.changing, "written to each time they were read: not compared")
        add("unread", Self.sum(summary.unread), "\(Self.list(summary.unread)): all but their values compared")
        add("late", summary.lateTTLs, "TTLs with a margin of df2redis (expiry.guardSeconds): no difference")
        return rows
    }

    private var table: [String] {
        let rows = rows
        let width = rows.map { String($0.count).count }.max() ?? 0
        return rows.map { row in
            let number = String(row.count)
            return
                "  \(row.name.padded(to: 9))\(String(repeating: " ", count: width - number.count))\(number)  \(row.note)"
        }
    }

    private var place: String? {
        guard let file = outcome.file, outcome.fileFailure == nil else { return nil }
        if !summary.isEqual { return "the differing keys are in \(file)" }
        return summary.leftOut.isEmpty ? nil : "the keys that are left out are in \(file)"
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
            ("file", outcome.file.map(JSONText.quoted) ?? "null"),
        ])
    }

    private var leftOutDatabases: [String: Int] {
        [String: Int](uniqueKeysWithValues: summary.leftOutDatabases.map { ("\($0.key)", $0.value) })
    }

    /// The keys that are left out of an equal result, as an addition to the sentence.
    private var exception: String {
        let count = summary.leftOutCount
        return count == 0 ? "" : ", but for \(counted(count, "key")) left out by policy"
    }

    private var databases: String {
        summary.databases.isEmpty ? "none" : summary.databases.map(String.init).joined(separator: ", ")
    }

    private static func sum(_ counts: [String: Int]) -> Int { counts.values.reduce(0, +) }

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
