import Glibc

/// A system call that failed, with its `errno`.
package struct SocketError: Error, CustomStringConvertible {
    package let call: String
    package let code: Int32

    init(_ call: String) {
        self.call = call
        code = errno
    }

    package var description: String { "\(call): \(String(cString: strerror(code)))" }
}

/// The few socket calls that the simulator needs, on non-blocking descriptors.
enum Sockets {
    /// The result of one `send` or `recv`.
    enum Transfer {
        case moved(Int)
        case wouldBlock
        /// `recv` only: the peer sent FIN.
        case end
        case failed(Int32)
    }

    /// The only state of `TCP_INFO` that matters here (`TCP_CLOSE` of `<netinet/tcp.h>`).
    static let closedState: UInt8 = 7

    /// Opens a listener on 127.0.0.1 or on all addresses; `port` 0 picks a free port.
    static func listen(port: UInt16, onAllAddresses: Bool) throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(
            AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw SocketError("socket") }
        set(descriptor, SOL_SOCKET, SO_REUSEADDR, Int32(1))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = onAllAddresses ? INADDR_ANY.bigEndian : UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic -> Int32 in
                guard bind(descriptor, generic, length) == 0, Glibc.listen(descriptor, 128) == 0 else { return -1 }
                return getsockname(descriptor, generic, &length)
            }
        }
        guard result == 0 else {
            let error = SocketError("bind to port \(port)")
            close(descriptor)
            throw error
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// Accepts the next pending connection; `nil` if there is none.
    static func accept(_ listener: Int32) -> Int32? {
        while true {
            let descriptor = Glibc.accept(listener, nil, nil)
            if descriptor >= 0 {
                setNonBlocking(descriptor)
                set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, Int32(1))
                return descriptor
            }
            guard errno == EINTR || errno == ECONNABORTED else { return nil }
        }
    }

    /// The peer's port; 0 if the peer is already gone.
    static func peerPort(_ descriptor: Int32) -> UInt16 {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) }
        }
        return code == 0 ? UInt16(bigEndian: address.sin_port) : 0
    }

    static func send(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Transfer {
        while true {
            let count = Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            if count >= 0 { return .moved(count) }
            if errno == EAGAIN { return .wouldBlock }
            if errno != EINTR { return .failed(errno) }
        }
    }

    static func receive(_ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer) -> Transfer {
        while true {
            let count = recv(descriptor, bytes.baseAddress, bytes.count, 0)
            if count > 0 { return .moved(count) }
            if count == 0 { return .end }
            if errno == EAGAIN { return .wouldBlock }
            if errno != EINTR { return .failed(errno) }
        }
    }

    /// Bytes that the kernel holds because the peer's kernel has not acknowledged them yet.
    static func unacknowledged(_ descriptor: Int32) -> Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
    }

    /// The pending error of the socket, 0 for none; reading it clears it.
    static func pendingError(_ descriptor: Int32) -> Int32 {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    /// `tcpi_state`: the first byte of `TCP_INFO`.
    static func tcpState(_ descriptor: Int32) -> UInt8 {
        var info = tcp_info()
        var length = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0 else { return closedState }
        return info.tcpi_state
    }

    /// Ends our direction: the peer sees FIN after what was sent.
    static func finish(_ descriptor: Int32) { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Closes with RST; undelivered bytes are discarded.
    static func reset(_ descriptor: Int32) {
        set(descriptor, SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0))
        close(descriptor)
    }

    /// A pipe that wakes a thread which polls its first end.
    static func wakeupPipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SocketError("pipe") }
        for end in ends { setNonBlocking(end) }
        return (ends[0], ends[1])
    }

    private static func setNonBlocking(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    static func set<Value>(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Value) {
        withUnsafeBytes(of: value) { bytes in
            _ = setsockopt(descriptor, level, option, bytes.baseAddress, socklen_t(bytes.count))
        }
    }
}
