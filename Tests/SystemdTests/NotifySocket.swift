import Glibc

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
        // An address of the family alone: the kernel chooses a free abstract name.
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

    struct Message {
        let text: String
        let descriptors: [Int32]
    }

    /// The next message, or nil if none waits: a datagram is in the queue as soon as `sendmsg` has returned.
    func receive() -> Message? {
        var payload = [UInt8](repeating: 0, count: 65_536)
        var control = [UInt8](repeating: 0, count: 256)
        let (count, controlBytes) = payload.withUnsafeMutableBytes { payload in
            control.withUnsafeMutableBytes { control in
                var vector = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var header = msghdr()
                    header.msg_iov = vector
                    header.msg_iovlen = 1
                    header.msg_control = control.baseAddress
                    header.msg_controllen = control.count
                    let flags = Int32(MSG_DONTWAIT) | Int32(MSG_CMSG_CLOEXEC)
                    let count = recvmsg(descriptor, &header, flags)
                    return (count, Int(header.msg_controllen))
                }
            }
        }
        guard count >= 0 else { return nil }
        return Message(
            text: String(decoding: payload[..<count], as: UTF8.self),
            descriptors: Self.descriptors(in: Array(control[..<controlBytes])))
    }

    /// The texts of all messages that wait.
    func drain() -> [String] {
        var texts: [String] = []
        while let message = receive() { texts.append(message.text) }
        return texts
    }

    /// The descriptors of `SCM_RIGHTS` messages; `CMSG_NXTHDR` and its kin are macros that Swift does not see.
    private static func descriptors(in control: [UInt8]) -> [Int32] {
        var descriptors: [Int32] = []
        var offset = 0
        let headBytes = MemoryLayout<cmsghdr>.size
        control.withUnsafeBytes { bytes in
            while bytes.count - offset >= headBytes {
                let head = bytes.loadUnaligned(fromByteOffset: offset, as: cmsghdr.self)
                let length = Int(head.cmsg_len)
                guard length >= headBytes, length <= bytes.count - offset else { break }
                if head.cmsg_level == SOL_SOCKET, head.cmsg_type == Int32(SCM_RIGHTS) {
                    for place in stride(from: offset + headBytes, to: offset + length, by: 4) {
                        descriptors.append(bytes.loadUnaligned(fromByteOffset: place, as: Int32.self))
                    }
                }
                offset += (length + 7) & ~7
            }
        }
        return descriptors
    }
}

/// The device and the inode of a descriptor, as `JOURNAL_STREAM` has them.
func identity(of descriptor: Int32) -> String {
    var status = stat()
    fstat(descriptor, &status)
    return "\(status.st_dev):\(status.st_ino)"
}
