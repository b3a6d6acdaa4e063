import Base
package import Dashboard
import Glibc

/// Ends a running task in order, and waits until its process has.
///
/// It is asked over its socket. A process that does not answer is sent SIGTERM, which a part of it may still hear.
package struct TaskStop: Sendable {
    package enum Outcome: Equatable, Sendable {
        case ended
        /// It is still leaving; with `force` it would have been killed.
        case stillLeaving(String)
        /// It has not answered, nor ended since SIGTERM; with `force` it would have been killed.
        case silent(Int32)
        /// It was killed after the time was over.
        case killed
    }

    private let socket: ControlSocket
    private let timeout: Duration
    private let force: Bool
    private let wish: TaskControl.Stop
    private static let pause = 50
    /// After SIGKILL the kernel needs a moment.
    private static let killPatience = Duration.seconds(5)
    /// For the answer to the question to leave: as long as is waited for the end, within these.
    private static let answerPatience = Duration.seconds(2)...Duration.seconds(5)
    private static let statusPatience = Duration.seconds(1)

    /// - Parameters:
    ///   - timeout: how long its end is waited for.
    ///   - force: it is killed when that is over.
    package init(_ socket: ControlSocket, timeout: Duration, force: Bool, wish: TaskControl.Stop = .init()) {
        self.socket = socket
        self.timeout = timeout
        self.force = force
        self.wish = wish
    }

    /// - Parameter say: called with what it waits for, when that changes.
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

    /// Asks it to leave, and has a signal ask where it does not answer.
    ///
    /// - Returns: whether it has answered.
    private func ask(_ client: ControlClient, _ process: pid_t) throws(ControlClient.Failure) -> Bool {
        do {
            try client.stop(wish)
            return true
        } catch .silent(let reason) {
            // A signal says no more than that it is to leave.
            guard wish == TaskControl.Stop() else { throw .silent(reason) }
            try send(SIGTERM, to: process)
            return false
        }
    }

    private func send(_ signal: Int32, to process: pid_t) throws(ControlClient.Failure) {
        if kill(process, signal) == 0 { return }
        switch errno {
        // It has just ended.
        case ESRCH: return
        case EPERM:
            throw .forbidden("process \(process) does not answer, and only its user and root may send it a signal")
        case let code: throw .failed("\(SystemError("kill", errno: code, peer: "process \(process)"))")
        }
    }

    /// A process of another user exists, too.
    private func isRunning(_ process: pid_t) -> Bool {
        guard kill(process, 0) == 0 || errno == EPERM else { return false }
        // One whose parent has not waited for it is over.
        return !isZombie(process)
    }

    private func isZombie(_ process: pid_t) -> Bool {
        // <pid> (<name>) <state> ...
        let text = try? TextFile.read("/proc/\(process)/stat")
        return text?.split(separator: ")").last?.hasPrefix(" Z") == true
    }
}
