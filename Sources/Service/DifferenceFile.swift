import Comparison
import Glibc
import Link

/// The file of differing keys, a line of JSON each.
///
/// A regular file is always a new one, which takes the old one's name at once: what an earlier comparison has found is not
/// what differs now, and may belong to somebody else. Root gives it to the owner of its folder, which is the task's own, so
/// that the task's user can replace it.
final class DifferenceFile: Sendable {
    private static let mode: mode_t = 0o640

    private let path: String
    private let descriptor: Int32
    private let firstFailure = Lock<SystemError?>(nil)

    /// - Throws: `SystemError`
    init(path: String) throws(SystemError) {
        self.path = path
        guard Self.isReplaceable(path) else {
            descriptor = try Self.open(path, O_TRUNC)
            return
        }
        do throws(SystemError) {
            descriptor = try Self.replace(path)
        } catch {
            // In a folder of somebody else's, a file may still be ours to write.
            guard error.errno == EACCES, access(path, W_OK) == 0 else { throw error }
            descriptor = try Self.open(path, O_TRUNC)
        }
    }

    deinit { close(descriptor) }

    /// Why not all differing keys are in it; `nil`: they are.
    var failure: SystemError? { firstFailure.withLock { $0 } }

    /// Adds a key. After one that cannot be written, nothing is: half a list is no list.
    func append(_ difference: KeyDifference) {
        firstFailure.withLock { failure in
            if failure == nil { failure = write(Array("\(difference.json)\n".utf8)) }
        }
    }

    private func write(_ line: [UInt8]) -> SystemError? {
        var written = 0
        while written < line.count {
            let count = retryingInterrupts {
                line.withUnsafeBytes {
                    Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), line.count - written)
                }
            }
            guard count > 0 else { return SystemError("write", errno: errno, peer: path) }
            written += count
        }
        return nil
    }

    /// A terminal, a pipe or a link is what somebody has named on purpose.
    private static func isReplaceable(_ path: String) -> Bool {
        var info = stat()
        return lstat(path, &info) != 0 || info.st_mode & S_IFMT == S_IFREG
    }

    private static func replace(_ path: String) throws(SystemError) -> Int32 {
        let temporary = path + ".new"
        // One that a killed command has left.
        unlink(temporary)
        let descriptor = Glibc.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        var failure: SystemError?
        if let owner = StateOwner.ofFolder(of: path), fchown(descriptor, owner.user, owner.group) != 0 {
            failure = SystemError("fchown", errno: errno, peer: temporary)
        } else if rename(temporary, path) != 0 {
            failure = SystemError("rename", errno: errno, peer: path)
        }
        guard let failure else { return descriptor }
        close(descriptor)
        unlink(temporary)
        throw failure
    }

    private static func open(_ path: String, _ flags: Int32) throws(SystemError) -> Int32 {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: path) }
        return descriptor
    }
}
