import Base
package import Dashboard
import Glibc

/// Makes a running task leave in order, and waits until its process has ended.
///
/// The request goes over the task's socket. A process that does not answer is sent SIGTERM, which a part of it may still
/// handle.
package struct TaskStop: Sendable {
    package enum Outcome: Equatable, Sendable {
        case ended
        /// The task is still leaving. Without `force` it was not killed; with `force` it has not ended after SIGKILL
        /// either.
        case stillLeaving(String)
        /// The process has neither answered nor ended after SIGTERM. With `force` it would have been killed.
        case silent(Int32)
        /// The process was killed after the timeout.
        case killed
    }

    private let socket: ControlSocket
    private let timeout: Duration
    private let force: Bool
    private let stopRequest: TaskControl.Stop
    private static let pause = 50
    /// After SIGKILL the kernel needs a moment.
    private static let killPatience = Duration.seconds(5)
    /// The limits for the wait for an answer to the request; between them it is as long as `timeout`.
    private static let answerPatience = Duration.seconds(2)...Duration.seconds(5)
    private static let statusPatience = Duration.seconds(1)

    /// - Parameters:
    ///   - timeout: how long to wait for the process to end.
    ///   - force: whether to kill the process after the timeout.
    package init(_ socket: ControlSocket, timeout: Duration, force: Bool, stopRequest: TaskControl.Stop = .init()) {
        self.socket = socket
        self.timeout = timeout
        self.force = force
        self.stopRequest = stopRequest
    }

    /// - Parameter say: called with a line about the state of the task whenever it changes.
    /// - Throws: `ControlClient.Failure`
    package func run(_ say: (String) -> Void) throws(ControlClient.Failure) -> Outcome {
        let patience = min(max(timeout, Self.answerPatience.lowerBound), Self.answerPatience.upperBound)
        let client = ControlClient(socket, timeout: patience)
        let process = try client.processID()
        let answers = try ask(client, process)
        var last =
            answers
            ? "asked process \(process) to leave"
            : "process \(process) does not answer within \(patience.components.seconds) s: it has been sent SIGTERM"
        say(last)
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            if !isRunning(process) { return .ended }
            if let status = try? ControlClient(socket, timeout: Self.statusPatience).status().status,
                status.summary != last
            {
                last = status.summary
                say(last)
            }
            usleep(useconds_t(Self.pause * 1000))
        }
        if !isRunning(process) { return .ended }
        guard force else { return answers ? .stillLeaving(last) : .silent(process) }
        try send(SIGKILL, to: process)
        let end = ContinuousClock.now + Self.killPatience
        while isRunning(process), ContinuousClock.now < end { usleep(useconds_t(Self.pause * 1000)) }
        return isRunning(process) ? .stillLeaving("process \(process) has not ended after SIGKILL") : .killed
    }

    /// Requests over the socket that the task leaves, and sends a signal if it does not answer.
    ///
    /// - Returns: whether the task has answered.
    private func ask(_ client: ControlClient, _ process: pid_t) throws(ControlClient.Failure) -> Bool {
        do {
            try client.stop(stopRequest)
            return true
        } catch .silent(let reason) {
            // A signal can only express a plain request to leave.
            guard stopRequest == TaskControl.Stop() else { throw .silent(reason) }
            try send(SIGTERM, to: process)
            return false
        }
    }

    private func send(_ signal: Int32, to process: pid_t) throws(ControlClient.Failure) {
        if kill(process, signal) == 0 { return }
        switch errno {
        // The process has just ended.
        case ESRCH: return
        case EPERM:
            throw .forbidden("process \(process) does not answer, and only its user and root may send it a signal")
        case let code: throw .failed("\(SystemError("kill", errno: code, peer: "process \(process)"))")
        }
    }

    /// Returns whether a process exists; it does if it belongs to another user (EPERM), too.
    private func isRunning(_ process: pid_t) -> Bool {
        guard kill(process, 0) == 0 || errno == EPERM else { return false }
        // A zombie has ended, although its parent has not reaped it.
        return !isZombie(process)
    }

    private func isZombie(_ process: pid_t) -> Bool {
        // <pid> (<name>) <state> ...
        let text = try? TextFile.read("/proc/\(process)/stat")
        return text?.split(separator: ")").last?.hasPrefix(" Z") == true
    }
}
