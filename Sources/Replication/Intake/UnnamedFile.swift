import Glibc
package import Link

/// Creates files without a name, so that a crash leaves no file.
package enum UnnamedFile {
    /// `O_TMPFILE` of <fcntl.h>, a macro that Swift does not import.
    private static let temporary: Int32 = 0o20_200_000

    /// Opens a new file without a name.
    ///
    /// - Parameter purpose: what the file is for, named in an error.
    /// - Returns: the descriptor, which the caller owns.
    /// - Throws: `SystemError`.
    package static func open(in directory: String, purpose: String) throws(SystemError) -> Int32 {
        var descriptor = Glibc.open(directory, temporary | O_RDWR | O_CLOEXEC, 0o600)
        if descriptor < 0, errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL {
            // Some file systems do not support unnamed files. Create a named file and unlink it at once.
            descriptor = try openNamed(in: directory, purpose: purpose)
        }
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: "\(purpose) in \(directory)") }
        return descriptor
    }

    /// Opens a file with a name and unlinks it at once, for file systems that do not support unnamed files.
    static func openNamed(in directory: String, purpose: String) throws(SystemError) -> Int32 {
        var path = Array("\(directory)/df2redis-XXXXXX".utf8CString)
        let descriptor = mkstemp(&path)
        guard descriptor >= 0 else { throw SystemError("open", errno: errno, peer: "\(purpose) in \(directory)") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unlink(path)
        return descriptor
    }
}
