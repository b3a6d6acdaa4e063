import Glibc
import Link

/// A file that has no name, so that nothing is left after a crash.
enum UnnamedFile {
    /// `O_TMPFILE` of <fcntl.h>, a macro that Swift does not import.
    private static let temporary: Int32 = 0o20_200_000

    /// - Parameter purpose: what the file is for, in an error.
    /// - Returns: the descriptor, which the caller owns.
    /// - Throws: `SystemError`.
    static func open(in directory: String, purpose: String) throws(SystemError) -> Int32 {
        var descriptor = Glibc.open(directory, temporary | O_RDWR | O_CLOEXEC, 0o600)
        if descriptor < 0, errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL {
            // Some file systems know no files without a name: it is taken away at once.
            descriptor = try openNamed(in: directory, purpose: purpose)
        }
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: "\(purpose) in \(directory)") }
        return descriptor
    }

    /// For file systems that know no files without a name.
    static func openNamed(in directory: String, purpose: String) throws(SystemError) -> Int32 {
        var path = Array("\(directory)/df2redis-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: "\(purpose) in \(directory)") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(path)
        return descriptor
    }
}
