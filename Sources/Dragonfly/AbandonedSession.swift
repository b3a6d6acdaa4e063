import Glibc
import Link

/// The sockets of a session whose process died. The next process leaves them in order before it does anything else.
///
/// ```
/// read what has piled up │ FIN on every flow │ read to the master's FIN │ FIN on the main connection, read │ close
/// ```
/// Nothing is applied: the data read here was never acknowledged and comes again after the checkpoint. This runs on the
/// calling thread, before there are other threads. The master's writers wait for the first read.
package struct AbandonedSession: Sendable {
    /// How one connection was left.
    package struct LeaveLog: Equatable, Sendable {
        package var name: String
        package var sawMasterFIN: Bool
        package var discardedBytes: Int
        /// The error if the connection was already broken.
        package var errno: Int32?

        package init(name: String, sawMasterFIN: Bool, discardedBytes: Int, errno: Int32? = nil) {
            self.name = name
            self.sawMasterFIN = sawMasterFIN
            self.discardedBytes = discardedBytes
            self.errno = errno
        }
    }

    /// The most bytes read from one socket before its FIN is sent. At full load a flow is never empty.
    private static let bytesBeforeFIN = 64 << 20

    private struct Socket {
        let descriptor: Int32
        let isMain: Bool
        var departure: LeaveLog
        var hasEnded = false
    }

    private var sockets: [Socket] = []

    /// Leaves the sockets in order.
    ///
    /// - Parameter sockets: the sockets that a `SocketStore` kept, by name. This call takes ownership of them.
    package static func leave(
        _ sockets: [String: [Int32]], within limit: Duration, socketStore: any SocketStore
    ) -> [LeaveLog] {
        var session = AbandonedSession(sockets)
        session.leave(within: limit, socketStore: socketStore)
        return session.sockets.map(\.departure)
    }

    private init(_ sockets: [String: [Int32]]) {
        for (name, descriptors) in sockets.sorted(by: { $0.key < $1.key }) {
            for descriptor in descriptors {
                let flags = fcntl(descriptor, F_GETFL)
                _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
                self.sockets.append(
                    Socket(
                        descriptor: descriptor, isMain: name == StoredSocketName.main,
                        departure: LeaveLog(name: name, sawMasterFIN: false, discardedBytes: 0)))
            }
        }
    }

    private mutating func leave(within limit: Duration, socketStore: any SocketStore) {
        for index in sockets.indices { read(index, atMost: Self.bytesBeforeFIN) }
        let deadline = ContinuousClock.now + limit
        for socket in sockets where !socket.isMain { shutdown(socket.descriptor, Int32(SHUT_WR)) }
        readToEnd(until: deadline) { !$0.isMain }
        for socket in sockets where socket.isMain { shutdown(socket.descriptor, Int32(SHUT_WR)) }
        readToEnd(until: deadline) { _ in true }
        for socket in sockets {
            socketStore.release(name: socket.departure.name)
            close(socket.descriptor)
        }
    }

    /// Reads every socket until those for which `matter` is true have ended.
    private mutating func readToEnd(until deadline: ContinuousClock.Instant, _ matter: (Socket) -> Bool) {
        while sockets.contains(where: { matter($0) && !$0.hasEnded }) {
            let left = ContinuousClock.now.duration(to: deadline)
            guard left > .zero else { return }
            let open = sockets.indices.filter { !sockets[$0].hasEnded }
            var polled = open.map { pollfd(fd: sockets[$0].descriptor, events: Int16(POLLIN), revents: 0) }
            let ready = poll(&polled, nfds_t(polled.count), Int32(clamping: left.milliseconds + 1))
            if ready < 0, errno != EINTR { return }
            for (place, index) in open.enumerated() where polled[place].revents != 0 { read(index, atMost: 8 << 20) }
        }
    }

    private mutating func read(_ index: Int, atMost limit: Int) {
        withUnsafeTemporaryAllocation(byteCount: 256 << 10, alignment: 16) { buffer in
            var left = limit
            while left > 0 {
                let descriptor = sockets[index].descriptor
                let count = retryingInterrupts { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
                if count < 0 && errno == EAGAIN { return }
                guard count > 0 else {
                    sockets[index].hasEnded = true
                    if count < 0 { sockets[index].departure.errno = errno }
                    sockets[index].departure.sawMasterFIN = count == 0
                    return
                }
                left -= count
                sockets[index].departure.discardedBytes += count
            }
        }
    }
}
