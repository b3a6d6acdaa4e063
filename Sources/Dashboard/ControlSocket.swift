package import Base
import Glibc

/// The Unix socket of a running task: `<folder>/control.sock`, for its user, root and the group `df2redis`.
package struct ControlSocket: Sendable, Equatable {
    package static let fileName = "control.sock"
    private static let group = "df2redis"
    /// What `sockaddr_un` has room for.
    private static let longestPath = 107

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

/// A connection to a Unix socket.
package enum UnixSocket {
    /// - Parameter limit: how long each write may take, and the connecting to one that no longer accepts; `nil`: for ever.
    /// - Returns: the descriptor; the caller closes it.
    /// - Throws: `SystemError`
    package static func connect(_ path: String, limit: Duration? = nil) throws(SystemError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError("connect", errno: ENAMETOOLONG, peer: path)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemError("socket", errno: errno, peer: path) }
        if let limit { set(limit, SO_SNDTIMEO, of: descriptor) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let code = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, length) }
        }
        if code != 0 {
            let failure = SystemError("connect", errno: errno, peer: path)
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// - Parameter option: `SO_SNDTIMEO` or `SO_RCVTIMEO`.
    package static func set(_ limit: Duration, _ option: Int32, of descriptor: Int32) {
        let (seconds, attoseconds) = limit.components
        var time = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
    }
}
