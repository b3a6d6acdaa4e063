import Base
import Glibc

/// The Unix socket of a running task: `<folder>/control.sock`, for its user, root and the group `df2redis`.
package struct ControlSocket: Sendable, Equatable {
    package static let fileName = "control.sock"
    private static let group = "df2redis"
    /// What `sockaddr_un` has room for.
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

    /// Makes the folder. A socket that a killed process has left is replaced, one that somebody listens on is not.
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

    /// For the user and the group only; the group is `df2redis` where there is one and we may give it.
    ///
    /// - Throws: `SystemError`
    func restrict() throws(SystemError) {
        // Where we may not, the group stays our own.
        if let entry = getgrnam(Self.group) { _ = chown(path, uid_t.max, entry.pointee.gr_gid) }
        if chmod(path, 0o660) != 0 { throw SystemError("chmod", errno: errno, peer: path) }
    }

    func remove() { unlink(path) }
}
