package import Base
import Glibc

/// Connects to Unix sockets.
package enum UnixSocket {
    /// - Parameter limit: the timeout of each write, and of the connect if the listener no longer accepts; `nil` for none.
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
