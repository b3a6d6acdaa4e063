import Link
import Preflight
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
                    mark.refusal(configuration, file: FilePathText.inWorkingDirectory(configurationFile)),
                    remedy: "start it only if it is to follow the source again"))
        }
        // It does not go on from where it is.
        if findings.contains(where: { $0.topic == Self.cutOver }) { findings.removeAll { $0.topic == "contents" } }
        return PreflightReport(findings: findings)
    }
}
