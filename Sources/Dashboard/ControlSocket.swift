import Base
import Glibc

/// The Unix socket of a running task: `<folder>/control.sock`, for its user, root and the group `df2redis`.
package struct ControlSocket: Sendable, Equatable {
    package static let fileName = "control.sock"
    private static let group = "df2redis"
    /// The longest path that fits into `sockaddr_un`, in bytes.
    package static let longestPath = 107

    package let folder: String
    package var path: String { "\(folder)/\(Self.fileName)" }

    package init(folder: String) { self.folder = folder }

    package enum Failure: Error, CustomStringConvertible {
        case tooLong(String)
        case inUse(String)

        package var description: String {
            switch self {
            case .tooLong(let path): "\(path) is too long for a socket (the task's name, or RUNTIME_DIRECTORY)"
            case .inUse(let path): "\(path) belongs to a task that runs"
            }
        }
    }

    /// Creates the folder, and checks that no process listens on the socket. (The server replaces a socket file that a
    /// killed process has left.)
    ///
    /// - Throws: `SystemError`, `Failure`.
    func prepare() throws {
        guard path.utf8.count <= Self.longestPath else { throw Failure.tooLong(path) }
        try Folder.make(folder, mode: 0o755)
        if let descriptor = try? UnixSocket.connect(path) {
            close(descriptor)
            throw Failure.inUse(path)
        }
    }

    /// Lets only the user and the group use the socket. The group is `df2redis` if it exists and this process may set it.
    ///
    /// - Throws: `SystemError`
    func restrict() throws(SystemError) {
        // If this process may not set the group, it stays our own.
        if let entry = getgrnam(Self.group) { _ = chown(path, uid_t.max, entry.pointee.gr_gid) }
        if chmod(path, 0o660) != 0 { throw SystemError("chmod", errno: errno, peer: path) }
    }

    func remove() { unlink(path) }
}
