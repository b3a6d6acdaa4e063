import Dashboard
import Preflight
import Replication

/// What there is to say after a cut-over that was not made: what has become of the task, and which server does not serve.
struct CutoverAftermath {
    /// What has become of the task.
    enum Fate: Equatable {
        /// - `summary`: how it is; `nil`: it does not say.
        case goesOn(summary: String?)
        /// Somebody else has asked it to.
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

    func fate() async -> Fate {
        do {
            let status = try await task.questions.ask { try $0.status().status }
            guard status.pid == task.status.pid else { return .restarted(process: status.pid) }
            return status.phase == .leaving ? .leaves : .goesOn(summary: status.summary)
        } catch ControlClient.Failure.notRunning {
            return .ended
        } catch {
            return .goesOn(summary: nil)
        }
    }

    /// What is wrong with the two servers now.
    func faults() async -> [String] {
        await CutoverMoment(task, request).servers().filter { $0.level == .fail }.map(\.message)
    }
}

extension CutoverAftermath.Fate {
    /// The task is no longer what it was.
    var isNews: Bool {
        if case .goesOn = self { false } else { true }
    }

    /// A line for the operator.
    ///
    /// - Parameters:
    ///   - freed: the source whose writers go on; `nil`: nobody was paused, or it is not known.
    ///   - unit: the task's unit, where systemd has started it.
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
