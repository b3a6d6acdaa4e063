import Glibc
import Link

/// Allows one cut-over of a task at a time: a lock on the folder of the task's socket. The kernel releases it when the
/// process ends, however it ends. (The folder itself is locked because a user of the group may not create a file there.)
final class CutoverLock: Sendable {
    private let descriptor: Int32

    /// - Throws: `CutoverFailure`
    init(folder: String) throws(CutoverFailure) {
        descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw CutoverFailure("\(SystemError("open", errno: errno, peer: folder))", .fileFailed)
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            guard code == EWOULDBLOCK else {
                throw CutoverFailure("\(SystemError("flock", errno: code, peer: folder))", .fileFailed)
            }
            throw CutoverFailure(
                "another cut-over of this task is under way; this one has done nothing", .alreadyRunning)
        }
    }

    deinit { close(descriptor) }
}
