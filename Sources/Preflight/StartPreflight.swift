import Redis
import Replication

/// Checks both servers and this host before a task runs. Nothing is written, and no session is started at the source.
///
/// The source is asked only with PING, INFO, ROLE, ACL WHOAMI, ACL DRYRUN, SCAN, TYPE, TIME and DFLY REPLICAOFFSET, because
/// some sequences of a session's commands crash a master (Protocol 0.3).
package struct StartPreflight: Sendable {
    private let options: PreflightOptions

    package init(_ options: PreflightOptions) { self.options = options }

    /// Returns all findings. A server that cannot be reached is a finding, too.
    package func run() async -> [PreflightFinding] {
        async let source = SourcePreflight(options).run()
        async let target = TargetPreflight(options).run()
        let (sourceSide, targetSide) = await (source, target)
        var findings = sourceSide.findings + targetSide.findings
        let hasFailed = findings.contains { $0.level == .fail }
        if let finding = await contents(targetSide, hasFailed: hasFailed) { findings.append(finding) }
        findings += PairPreflight(source: sourceSide, target: targetSide, options: options).findings()
        findings += HostPreflight(options: options, source: sourceSide).findings()
        return findings
    }

    /// The finding on what the next start does with the contents of the target.
    ///
    /// - Parameter hasFailed: whether something else must be fixed first, which may be why this cannot be determined.
    private func contents(_ target: TargetSide, hasFailed: Bool) async -> PreflightFinding? {
        guard let profile = target.profile, !options.isCutOver else { return nil }
        do throws(ReplicationError) {
            let outlook = try await StartLook(options.settings).outlook(targetRunID: profile.runID)
            return ContentsPreflight(outlook, existing: options.settings.existing).finding
        } catch {
            if error.code == .configuration {
                return PreflightFinding(
                    .fail, .target, "contents", error.description, remedy: "a start would end with this, too")
            }
            if hasFailed { return nil }
            return PreflightFinding(
                .warn, .target, "contents", "what the next start does cannot be said: \(error.description)",
                remedy: error.code == .file
                    ? "run preflight as the task's user (df2redis, for the service), or as root"
                    : "mend this, then run preflight again")
        }
    }
}
