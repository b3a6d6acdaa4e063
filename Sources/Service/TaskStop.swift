import Base
package import Dashboard
import Glibc

/// Ends a running task in order, and waits until its process has.
package struct TaskStop: Sendable {
    package enum Outcome: Equatable, Sendable {
        case ended
        /// It is still leaving; with `force` it would have been killed.
        case stillLeaving(String)
        /// It was killed after the time was over.
        case killed
    }

    package let task: String
    package let sockets: [ControlSocket]
    package let timeout: Duration
    package let force: Bool
    private let wish: TaskControl.Stop
    private static let pause = 50
    /// After SIGKILL the kernel needs a moment.
    private static let killPatience = Duration.seconds(5)

    package init(
        task: String, sockets: [ControlSocket], timeout: Duration, force: Bool, wish: TaskControl.Stop = .init()
    ) {
        self.task = task
        self.sockets = sockets
        self.timeout = timeout
        self.force = force
        self.wish = wish
    }

    /// - Parameter say: called with what it waits for, when that changes.
    /// - Throws: `ControlClient.Failure`
    package func run(_ say: (String) -> Void) throws(ControlClient.Failure) -> Outcome {
        let client = ControlClient(try socket())
        let process = try client.processID()
        try client.stop(wish)
        var last = "asked process \(process) to leave"
        say(last)
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            if !isRunning(process) { return .ended }
            if let status = try? client.status().status, status.summary != last {
                last = status.summary
                say(last)
            }
            usleep(useconds_t(Self.pause * 1000))
        }
        if !isRunning(process) { return .ended }
        guard force else { return .stillLeaving(last) }
        guard kill(process, SIGKILL) == 0 else {
            throw .failed("\(SystemError("kill", errno: errno, peer: "process \(process)"))")
        }
        let end = ContinuousClock.now + Self.killPatience
        while isRunning(process), ContinuousClock.now < end { usleep(useconds_t(Self.pause * 1000)) }
        return isRunning(process) ? .stillLeaving("process \(process) has not ended after SIGKILL") : .killed
    }

    /// The socket at which the task answers.
    func socket() throws(ControlClient.Failure) -> ControlSocket {
        var failure = ControlClient.Failure.notRunning(sockets.first?.path ?? "")
        for socket in sockets {
            do {
                _ = try ControlClient(socket).processID()
                return socket
            } catch .notRunning {
                continue
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// A process of another user exists, too.
    private func isRunning(_ process: pid_t) -> Bool {
        guard kill(process, 0) == 0 || errno == EPERM else { return false }
        // One whose parent has not waited for it is over.
        return !isZombie(process)
    }

    private func isZombie(_ process: pid_t) -> Bool {
        let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = read(descriptor, &bytes, bytes.count)
        let text = String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
        // <pid> (<name>) <state> ...
        return text.split(separator: ")").last?.hasPrefix(" Z") == true
    }
}
