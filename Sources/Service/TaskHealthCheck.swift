import Base
import Dashboard
import Glibc

/// Asks a task for its health, several times before the task counts as ill, and makes systemd restart it on request.
package struct TaskHealthCheck: Sendable {
    package enum Verdict: Equatable, Sendable {
        case healthy
        /// No process of the task listens.
        case absent(String)
        /// The task reports that its source is lost, and tries again by itself. A restart would not help.
        case waiting(String)
        /// This user may not ask the task, so nothing is known about it.
        case forbidden(String)
        /// The task reports another problem, hangs or does not answer.
        case unhealthy(String)
    }

    private let task: String
    private let directory: RuntimeDirectory
    private let tries: Int
    private let pause: Duration

    package init(task: String, tries: Int, pause: Duration, in directory: RuntimeDirectory = RuntimeDirectory()) {
        self.task = task
        self.tries = tries
        self.pause = pause
        self.directory = directory
    }

    /// Asks until the task is not ill, at most `tries` times, and returns the last verdict. Blocking.
    package func run(_ say: (String) -> Void) -> Verdict {
        var verdict = ask()
        for number in 1..<max(2, tries + 1) {
            guard case .unhealthy(let reason) = verdict else { return verdict }
            say("try \(number) of \(tries): \(reason)")
            if number == tries { break }
            usleep(useconds_t(pause.milliseconds * 1000))
            verdict = ask()
        }
        return verdict
    }

    private func ask() -> Verdict {
        do throws(ControlClient.Failure) {
            let health = try ControlClient(directory.socket(ofRunning: task)).status().status.health
            guard health.status != .ok else { return .healthy }
            let reason = health.reason ?? health.code?.rawValue ?? "no reason given"
            return health.code == .sourceLost ? .waiting(reason) : .unhealthy(reason)
        } catch {
            return Verdict(error)
        }
    }

    /// Restarts the task's unit if it runs. systemd sends SIGTERM, so the task leaves in order. Blocking.
    ///
    /// - Returns: the error, or `nil`.
    package func restart() -> String? {
        do {
            let program = try ChildProgram(["systemctl", "try-restart", "df2redis@\(task).service"])
            guard let code = program.wait(within: .seconds(180)) else { return "systemctl did not end" }
            return code == 0 ? nil : "systemctl try-restart failed with \(code): systemctl status df2redis@\(task)"
        } catch {
            return "\(error)"
        }
    }
}

extension TaskHealthCheck.Verdict {
    /// - Parameter failure: why the task did not report its health.
    init(_ failure: ControlClient.Failure) {
        self =
            switch failure {
            case .notRunning: .absent("\(failure)")
            case .notPermitted, .forbidden: .forbidden("\(failure)")
            case .silent, .failed, .refused, .impossible, .outdated: .unhealthy("\(failure)")
            }
    }
}
