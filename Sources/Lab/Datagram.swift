import Base
import Glibc

/// A message of a datagram socket with the descriptors that came with it, which belong to the receiver.
package struct Datagram {
    package let text: String
    package let descriptors: [Int32]

    /// - Parameter flags: flags of `recvmsg`, in addition to `MSG_CMSG_CLOEXEC`.
    /// - Returns: `nil` when there is none: the socket is shut down, or empty under `MSG_DONTWAIT`.
    package static func receive(from socket: Int32, flags: Int32 = 0) -> Datagram? {
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
                    let count = retryingInterrupts { recvmsg(socket, &header, flags | Int32(MSG_CMSG_CLOEXEC)) }
                    return (count, Int(header.msg_controllen))
                }
            }
        }
        guard count > 0 else { return nil }
        return Datagram(
            text: String(decoding: payload[..<count], as: UTF8.self),
            descriptors: descriptors(in: Array(control[..<controlBytes])))
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
