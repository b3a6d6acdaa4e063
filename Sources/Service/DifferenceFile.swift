import Comparison
import Glibc
import Link

/// The file of differing keys, one line of JSON per key.
///
/// A new file replaces a regular file as soon as the comparison begins: the old content describes an earlier comparison, and
/// the old file may belong to another user. (If the folder is not writable, the file is emptied instead.) If root runs the
/// command, the new file gets the owner of its folder, which is the task's own folder, so that the task's user can replace
/// the file later.
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
            // A file can be writable for us in a folder that is not.
            guard error.errno == EACCES, access(path, W_OK) == 0 else { throw error }
            descriptor = try Self.open(path, O_TRUNC)
        }
    }

    deinit { close(descriptor) }

    /// The reason why not all differing keys are in the file; `nil` if they are.
    var failure: SystemError? { firstFailure.withLock { $0 } }

    /// Adds a key. After the first failed write nothing more is written, because an incomplete list is of no use.
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

    /// Returns whether `path` is a regular file or does not exist. An operator who names a terminal, a pipe or a link wants
    /// it kept.
    private static func isReplaceable(_ path: String) -> Bool {
        var info = stat()
        return lstat(path, &info) != 0 || info.st_mode & S_IFMT == S_IFREG
    }

    private static func replace(_ path: String) throws(SystemError) -> Int32 {
        let temporary = path + ".new"
        // A killed command may have left this file.
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
