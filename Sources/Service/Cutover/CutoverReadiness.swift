import Base
import Dashboard
import Preflight
import Replication
import Servers

/// The preflight of a cut-over: checks whether the task, the source and the target are ready for it now.
struct CutoverReadiness {
    private let task: CutoverTask
    private let request: CutoverService.Request

    init(_ task: CutoverTask, _ request: CutoverService.Request) {
        self.task = task
        self.request = request
    }

    func findings() async -> [PreflightFinding] {
        [phase(), configuredServers()] + lag() + incidents() + (await servers())
    }

    func servers() async -> [PreflightFinding] {
        var needs = CutoverPreflight.Needs()
        needs.pauses = request.pauses
        needs.compares = request.check != .none || (request.verifies && task.settings.verifier != nil)
        needs.flows = task.flows
        let pair = ServerPair(source: task.settings.source, target: task.settings.targetSettings(forCommand: "cutover"))
        return await CutoverPreflight(pair, needs: needs).run()
    }

    private func phase() -> PreflightFinding {
        let status = task.status
        if status.mode == "migrate" {
            return PreflightFinding(
                .fail, .task, "phase", "it is a migration, which ends by itself", remedy: "cut over a 'replicate' task")
        }
        guard status.phase == .stable else {
            return PreflightFinding(
                .fail, .task, "phase", status.summary, remedy: "wait until it is stable: df2redis status --watch")
        }
        if status.targetLost {
            return PreflightFinding(
                .fail, .task, "phase", "the target does not serve: \(status.targetLoss ?? status.summary)",
                remedy: "wait until the target serves again")
        }
        return PreflightFinding(.ok, .task, "phase", "stable, process \(status.pid)")
    }

    /// Checks the servers: the configuration file may have changed since the task started.
    private func configuredServers() -> PreflightFinding {
        guard task.status.source == task.source, task.status.target == task.target else {
            return PreflightFinding(
                .fail, .task, "servers",
                "it follows \(task.status.source) into \(task.status.target), and \(task.file) names \(task.source) and \(task.target)",
                remedy: "restart the task, or give the file that it was started with: --config")
        }
        return PreflightFinding(.ok, .task, "servers", "\(task.source) to \(task.target)")
    }

    private func lag() -> [PreflightFinding] {
        guard let lag = task.status.lagSeconds else { return [] }
        let text = Self.lagText(seconds: lag, task.status)
        let limit = Double(request.pauseLimit.components.seconds) / 2
        guard lag >= limit else { return [PreflightFinding(.ok, .task, "lag", text)] }
        return [
            PreflightFinding(
                .fail, .task, "lag", "\(text); writers would wait as long",
                remedy: "wait until it is under \(limit) s, or allow a longer pause with --pause-limit")
        ]
    }

    static func lagText(seconds: Double, _ status: StatusDocument) -> String {
        let records = counted(Int(clamping: status.lagRecords ?? 0), "record")
        return "\(seconds) s, \(status.isLagEstimated == true ? "about " : "")\(records)"
    }

    private func incidents() -> [PreflightFinding] {
        let incidents = task.status.incidents.filter { $0.value > 0 }.sorted { $0.key < $1.key }
        guard !incidents.isEmpty else {
            return [PreflightFinding(.ok, .task, "incidents", "nothing was left out since the task has been started")]
        }
        return [
            PreflightFinding(
                .warn, .task, "incidents", incidents.map { "\($0.value) x \($0.key)" }.joined(separator: ", "),
                remedy: "see which keys it concerns before clients move: the page, or *.dead-letters.jsonl in stateDir")
        ]
    }
}
