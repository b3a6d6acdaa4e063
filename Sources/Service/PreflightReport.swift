import Base
package import Preflight

/// The findings of a preflight as text and as JSON.
package struct PreflightReport: Sendable {
    package let findings: [PreflightFinding]

    package var exitStatus: ExitStatus { count(.fail) == 0 ? .done : .notReady }

    private func count(_ level: PreflightFinding.Level) -> Int { findings.count { $0.level == level } }

    /// One line per finding with its remedy below it, and the totals.
    package var text: String {
        let width = findings.map(\.topic.count).max() ?? 0
        var lines: [String] = []
        for finding in findings {
            let head =
                "\(finding.level.rawValue.padded(to: 5)) \(finding.subject.rawValue.padded(to: 7)) \(finding.topic.padded(to: width)) "
            lines.append(" \(head) \(finding.message)")
            if let remedy = finding.remedy {
                lines.append(String(repeating: " ", count: head.count + 2) + "-> \(remedy)")
            }
        }
        lines.append(
            "\(count(.ok)) ok, \(counted(count(.warn), "warning")), \(counted(count(.fail), "failure"))"
        )
        return lines.joined(separator: "\n")
    }

    package var json: String {
        JSONText.object([("ok", "\(count(.fail) == 0)"), ("findings", JSONText.array(findings.map(\.json)))])
    }
}
