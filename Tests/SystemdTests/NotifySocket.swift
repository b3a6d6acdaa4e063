import Glibc
import Lab

/// The service manager's end of `NOTIFY_SOCKET`: a datagram socket under an abstract address.
///
/// The environment belongs to the whole process, so use it in an exit test only: that runs in a process of its own.
struct NotifySocket {
    private let descriptor: Int32

    /// Binds the socket and points `NOTIFY_SOCKET` at it.
    init() {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // An address without a name: the kernel chooses a free abstract one.
        var length = socklen_t(MemoryLayout<sa_family_t>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                guard bind(descriptor, generic, length) == 0 else { return false }
                length = socklen_t(MemoryLayout<sockaddr_un>.size)
                return getsockname(descriptor, generic, &length) == 0
            }
        }
        precondition(isBound, "a datagram socket can be bound")
        let name = withUnsafeBytes(of: address.sun_path) { path in
            String(decoding: path[1..<(Int(length) - MemoryLayout<sa_family_t>.size)], as: UTF8.self)
        }
        setenv("NOTIFY_SOCKET", "@" + name, 1)
    }

    /// The next message, or nil if none waits: a datagram is in the queue as soon as `sendmsg` has returned.
    func receive() -> Datagram? { Datagram.receive(from: descriptor, flags: Int32(MSG_DONTWAIT)) }

    /// The texts of all messages that wait.
    func drain() -> [String] {
        var texts: [String] = []
        while let message = receive() { texts.append(message.text) }
        return texts
    }
}

/// The device and the inode of a descriptor, as `JOURNAL_STREAM` has them.
func identity(of descriptor: Int32) -> String {
    var status = stat()
    fstat(descriptor, &status)
    return "\(status.st_dev):\(status.st_ino)"
}
