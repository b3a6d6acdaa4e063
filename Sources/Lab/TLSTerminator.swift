import Base
import Foundation

/// TLS in front of a plaintext server on 127.0.0.1; it passes the end of each direction on to the other side.
///
/// Each connection has a thread. The bytes that a client has sent before its end are delivered, then a FIN. The
/// server's bytes still go to the client until the server's FIN, which becomes close_notify and FIN.
package final class TLSTerminator: Sendable {
    private struct State {
        var ends: [TLSPeer.End] = []
        var bytesAfterClose = 0
        var failures: [String] = []
    }

    package var port: UInt16 { listener.port }
    private let listener: Listener
    private let server: UInt16
    private let options: TLSPeer.Options
    private let state = Lock(State())

    package init(to server: UInt16, _ options: TLSPeer.Options) throws {
        (self.server, self.options) = (server, options)
        listener = try Listener()
        Thread { [self] in
            while let descriptor = listener.accept() {
                Thread { [self] in
                    serve(descriptor)
                    close(descriptor)
                }.start()
            }
        }.start()
    }

    /// Accepts no more connections; existing ones continue.
    package func stop() { listener.stop() }

    /// How clients have ended their directions.
    package var ends: [TLSPeer.End] { state.withLock { $0.ends } }
    /// The number of bytes that clients have sent between their close_notify and their FIN.
    package var bytesAfterClose: Int { state.withLock { $0.bytesAfterClose } }
    /// Handshakes that failed, and why.
    package var failures: [String] { state.withLock { $0.failures } }

    private func serve(_ descriptor: Int32) {
        let peer: TLSPeer
        do { peer = try TLSPeer(descriptor, options) } catch {
            return state.withLock { $0.failures.append("\(error)") }
        }
        let plain = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { close(plain) }
        var address = loopback(port: server)
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(plain, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        if isConnected { relay(peer, plain) }
    }

    private func relay(_ client: TLSPeer, _ plain: Int32) {
        var (hasClientEnded, hasServerEnded) = (false, false)
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while !hasClientEnded || !hasServerEnded {
            var polled = [
                pollfd(fd: hasClientEnded ? -1 : client.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: hasServerEnded ? -1 : plain, events: Int16(POLLIN), revents: 0),
            ]
            let isPending = !hasClientEnded && client.hasPending
            if poll(&polled, 2, isPending ? 0 : -1) < 0, errno != EINTR { return }
            if isPending || polled[0].revents != 0 {
                switch client.receive() {
                case .bytes(let bytes): _ = bytes.withUnsafeBytes { send(plain, $0.baseAddress, $0.count, 0) }
                case .end(let end):
                    hasClientEnded = true
                    let rest = end == .notified ? client.rawBytesToFIN() : 0
                    state.withLock {
                        $0.ends.append(rest < 0 ? .broken : end == .bare && hasServerEnded ? .late : end)
                        $0.bytesAfterClose += max(rest, 0)
                    }
                    shutdown(plain, Int32(SHUT_WR))
                    if end == .broken { return }
                }
            }
            if polled[1].revents != 0 {
                let count = read(plain, &buffer, buffer.count)
                if count > 0 {
                    client.send(buffer[..<count])
                } else {
                    hasServerEnded = true
                    client.finish()
                }
            }
        }
    }
}
