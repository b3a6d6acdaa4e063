import Dashboard
import Preflight
import Replication

/// Finds out, after a cut-over that was not made, what happened to the task and which server does not serve.
struct CutoverAftermath {
    /// What happened to the task.
    enum TaskOutcome: Equatable {
        /// - `summary`: the task's status in one line; `nil` if the task does not answer.
        case goesOn(summary: String?)
        /// Another request made the task leave.
        case leaves
        case restarted(process: Int32)
        case ended
    }

    private let task: CutoverTask
    private let request: CutoverService.Request

    init(_ task: CutoverTask, _ request: CutoverService.Request) {
        self.task = task
        self.request = request
    }

    func taskOutcome() async -> TaskOutcome {
        do {
            let status = try await task.client.request { try $0.status().status }
            guard status.pid == task.status.pid else { return .restarted(process: status.pid) }
            return status.phase == .leaving ? .leaves : .goesOn(summary: status.summary)
        } catch ControlClient.Failure.notRunning {
            return .ended
        } catch {
            return .goesOn(summary: nil)
        }
    }

    /// The faults of the two servers at this moment.
    func faults() async -> [String] {
        await CutoverReadiness(task, request).servers().filter { $0.level == .fail }.map(\.message)
    }
}

extension CutoverAftermath.TaskOutcome {
    /// Whether the task no longer follows its source as before.
    var isInterruption: Bool {
        if case .goesOn = self { false } else { true }
    }

    /// A line for the operator.
    ///
    /// - Parameters:
    ///   - freed: the source whose writers go on; `nil` if nobody was paused, or that is not known.
    ///   - unit: the task's unit if systemd started the task.
    func line(freed: String?, unit: String?) -> String {
        let writers = freed.map { "writers at \($0) go on" }
        switch self {
        case .goesOn(_?):
            return "\(writers.map { "\($0), and so does the task: " } ?? "the task goes on: ")nothing was changed"
        case .goesOn(nil):
            return
                "\(writers.map { "\($0). " } ?? "")The task does not say how it is: look at its log; nothing was changed"
        case .restarted(let process):
            return
                "\(writers.map { "\($0). " } ?? "")The task was restarted meanwhile, as process \(process): its log says why"
        case .leaves: return "\(writers.map { "\($0). " } ?? "")The task is leaving, and its log says why"
        case .ended:
            let start = unit.map { " where systemd does not (systemctl start \($0))" } ?? ""
            return "\(writers.map { "\($0). " } ?? "")The task has ended, and its log says why: start it again\(start)"
        }
    }
}
