import Link
package import Preflight
import Redis
import Replication

/// `df2redis preflight`: looks at both sides and at this host before a task runs.
package struct PreflightService: Sendable {
    private static let cutOver = "cut-over"

    private let configuration: Configuration
    private let configurationFile: String

    /// - Parameter configurationFile: where the configuration was read.
    package init(configuration: Configuration, configurationFile: String) {
        (self.configuration, self.configurationFile) = (configuration, configurationFile)
    }

    package func run() async -> PreflightReport {
        var settings = ReplicatorSettings(configuration, mode: .replicate)
        settings.target = settings.visitor("preflight")
        let mark = CutoverMark(configuration)
        var options = PreflightOptions(settings)
        options.isCutOver = mark.isSet
        options.stateDirectory = configuration.stateDirectory
        var findings = await StartPreflight(options).run()
        let checkpoint = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        let rivals = RivalTaskCheck(
            source: settings.source, target: settings.target, checkpoint: checkpoint, policy: settings.policy)
        if let refusal = await rivals.refusal() {
            findings.append(
                PreflightFinding(.fail, .target, "tasks", refusal, remedy: "one task follows a source into a target"))
        }
        if mark.isSet {
            // The target's own note says the same.
            findings.removeAll { $0.topic == Self.cutOver }
            findings.append(
                PreflightFinding(
                    .fail, .task, Self.cutOver,
                    mark.refusal(configuration, file: ReplicationService.absolute(configurationFile)),
                    remedy: "start it only if it is to follow the source again"))
        }
        // It does not go on from where it is.
        if findings.contains(where: { $0.topic == Self.cutOver }) { findings.removeAll { $0.topic == "contents" } }
        return PreflightReport(findings: findings)
    }
}

/// The lines of a preflight as text and as JSON.
package struct PreflightReport: Sendable {
    package let findings: [PreflightFinding]

    package var exitCode: ExitCode { count(.fail) == 0 ? .ok : .policyStop }

    private func count(_ level: PreflightFinding.Level) -> Int { findings.count { $0.level == level } }

    /// A line each, its remedy below it.
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
        let (warnings, failures) = (count(.warn), count(.fail))
        lines.append(
            "\(count(.ok)) ok, \(warnings) warning\(warnings == 1 ? "" : "s"), \(failures) failure\(failures == 1 ? "" : "s")"
        )
        return lines.joined(separator: "\n")
    }

    package var json: String {
        "{\"ok\":\(count(.fail) == 0),\"findings\":[\(findings.map(\.json).joined(separator: ","))]}"
    }
}
