import Base
import Link
import Preflight
import Redis
import Replication

/// `df2redis preflight`: looks at both sides and at this host before a task runs.
package struct PreflightService: Sendable {
    private static let cutOver = "cut-over"

    private let configuration: Configuration
    private let configurationFile: String

    /// - Parameter configurationFile: the file that the configuration was read from.
    package init(configuration: Configuration, configurationFile: String) {
        (self.configuration, self.configurationFile) = (configuration, configurationFile)
    }

    package func run() async -> PreflightReport {
        var settings = ReplicatorSettings(configuration, mode: .replicate)
        settings.target = settings.targetSettings(forCommand: "preflight")
        let mark = CutoverMark(configuration)
        var options = PreflightOptions(settings)
        options.isCutOver = mark.state == .set
        options.stateDirectory = configuration.stateDirectory
        var findings = await StartPreflight(options).run()
        if let finding = finding(of: mark) {
            // The note at the target reports the same cut-over.
            if finding.level == .fail { findings.removeAll { $0.topic == Self.cutOver } }
            findings.append(finding)
        }
        if let finding = await rivalFinding(settings) { findings.append(finding) }
        // A task that was cut over does not continue from its position, so a finding about the contents would mislead.
        if findings.contains(where: { $0.topic == Self.cutOver && $0.level == .fail }) {
            findings.removeAll { $0.topic == "contents" }
        }
        return PreflightReport(findings: findings.map { $0.namingCredentials(of: configuration.taskName) })
    }

    private func finding(of mark: CutoverMark) -> PreflightFinding? {
        switch mark.state {
        case .notSet: nil
        case .set:
            PreflightFinding(
                .fail, .task, Self.cutOver,
                mark.refusal(configuration, file: FilePathText.inWorkingDirectory(configurationFile)),
                remedy: "start it only if it is to follow the source again")
        case .unknown(let error):
            PreflightFinding(
                .warn, .task, Self.cutOver, "whether the task was cut over cannot be seen by this user: \(error)",
                remedy: "run preflight as the task's user (df2redis, for the service), or as root")
        }
    }

    /// Reports another task of the same source.
    private func rivalFinding(_ settings: ReplicatorSettings) async -> PreflightFinding? {
        let rivals = RivalTaskCheck(
            source: settings.source, target: settings.target,
            checkpoint: CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix),
            policy: settings.policy)
        guard let refusal = await rivals.refusal() else { return nil }
        return refusal.code == .cutOver
            ? PreflightFinding(
                .fail, .target, Self.cutOver, refusal.message,
                remedy: "start it only if it is to follow the source again")
            : PreflightFinding(
                .fail, .target, "tasks", refusal.message, remedy: "one task follows a source into a target")
    }
}

extension PreflightFinding {
    fileprivate func namingCredentials(of task: String) -> PreflightFinding {
        PreflightFinding(
            level, subject, topic, message.namingCredentials(of: task),
            remedy: remedy?.namingCredentials(of: task))
    }
}
