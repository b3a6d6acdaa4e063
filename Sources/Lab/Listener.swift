import Glibc

/// A listening socket of 127.0.0.1, closed with its last owner.
package final class Listener: Sendable {
    package let descriptor: Int32
    package let port: UInt16

    /// - Parameters:
    ///   - port: 0 picks a free one.
    ///   - isBlocking: whether `accept` waits for a connection.
    package init(port: UInt16 = 0, backlog: Int32 = 64, isBlocking: Bool = true) throws {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_INET, isBlocking ? type : type | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw LabError.system("socket") }
        var address = loopback(port: port)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && listen(descriptor, backlog) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        guard isBound else {
            let error = LabError.system("bind", "127.0.0.1")
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(descriptor) }

    /// Accepts the next connection; `nil` if there is none, or if the listener has been stopped.
    package func accept() -> Int32? {
        while true {
            let connection = Glibc.accept(descriptor, nil, nil)
            if connection >= 0 { return connection }
            if errno != EINTR { return nil }
        }
    }

    /// Ends a waiting `accept`; the port is released with the last owner.
    package func stop() { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
