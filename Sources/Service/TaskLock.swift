import Glibc
import Link

/// The task's lock file in its state directory, held by the one process that runs the task.
///
/// Two processes of one task would keep ending each other's connections to the target, and write the same checkpoint. The
/// kernel releases the lock when the process ends, however it ends. The file stays, and contains the ID of the last process
/// that held it.
final class TaskLock: Sendable {
    enum Failure: Error, CustomStringConvertible {
        case held(path: String, by: String)
        case system(SystemError)

        var description: String {
            switch self {
            case .held(let path, let holder):
                "the task runs already: process \(holder.isEmpty ? "?" : holder) holds \(path). One task, one process: "
                    + "stop that one, or give this one a taskName and a stateDir of its own"
            case .system(let error): "\(error)"
            }
        }
    }

    /// How long `take` waits for a predecessor that is about to end.
    static let patience = Duration.seconds(5)
    private static let pause = Duration.milliseconds(50)

    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// - Throws: `Failure`; `held` if another process held the lock for all of `patience`.
    static func take(_ path: String, patience: Duration = patience) async throws(Failure) -> TaskLock {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw .system(SystemError("open", errno: errno, peer: path)) }
        let lock = TaskLock(descriptor: descriptor)
        let deadline = ContinuousClock.now + patience
        while retryingInterrupts({ flock(descriptor, LOCK_EX | LOCK_NB) }) != 0 {
            let code = errno
            guard code == EWOULDBLOCK else { throw .system(SystemError("flock", errno: code, peer: path)) }
            guard ContinuousClock.now < deadline else { throw .held(path: path, by: holder(descriptor)) }
            try? await Task.sleep(for: pause)
        }
        let text = Array("\(getpid())\n".utf8)
        // The text only serves an error message, so a full disk is no reason to stop.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
        return lock
    }

    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 20)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(count, 0)).prefix { $0 >= 0x30 && $0 <= 0x39 }, as: UTF8.self)
    }
}
