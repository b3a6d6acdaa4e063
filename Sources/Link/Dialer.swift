import Dispatch
import Glibc

/// Opens TCP connections. Each attempt has a thread of its own, because name resolution blocks, and a blocked Dispatch
/// worker would be missing for all others.
package enum Dialer {
    /// Returns a connected, non-blocking socket with TCP_NODELAY and keep-alive, on which `setUp` has run.
    ///
    /// The addresses of the host are tried in the resolver's order. Each gets its share of the remaining time, so that a
    /// first address at which nobody answers leaves enough for the others.
    ///
    /// A cancelled caller does not wait. The attempt ends by itself, and the socket that it opened is closed.
    ///
    /// - Parameter setUp: called with a socket as soon as it is connected, even if nobody waits for it any more. It must not
    ///   block.
    /// - Throws: the `SystemError` of the last address tried; ETIMEDOUT if the time ran out, ECANCELED; any error of
    ///   `setUp`.
    package static func connect(
        to endpoint: Endpoint, timeout: Duration,
        setUp: @escaping @Sendable (Int32) throws -> ConnectedSocket = { ConnectedSocket($0) }
    ) async throws -> ConnectedSocket {
        try await connect(to: endpoint, timeout: timeout, resolve: addresses, setUp: setUp)
    }

    /// - Parameter resolve: returns the addresses of an endpoint. It may block for longer than `timeout`, which ends the
    ///   attempt nevertheless.
    static func connect(
        to endpoint: Endpoint, timeout: Duration,
        resolve: @escaping @Sendable (Endpoint) throws(SystemError) -> [Address],
        setUp: @escaping @Sendable (Int32) throws -> ConnectedSocket = { ConnectedSocket($0) }
    ) async throws -> ConnectedSocket {
        let attempt = Attempt()
        let deadline = ContinuousClock.now + timeout
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                attempt.begin(continuation)
                // The system's resolver has limits of its own, and a thread inside it cannot be interrupted.
                timers.asyncAfter(deadline: .now() + timeout.secondsAsDouble) {
                    if attempt.isResolving {
                        attempt.end(
                            with: .failure(SystemError("resolve", errno: ETIMEDOUT, peer: endpoint.description)))
                    }
                }
                let code = detachThread {
                    let result = Result {
                        let addresses = try resolve(endpoint)
                        attempt.hasResolved()
                        let descriptor = try connectBlocking(
                            to: addresses, peer: endpoint.description, deadline: deadline)
                        do { return try setUp(descriptor) } catch {
                            closeUnused(descriptor)
                            throw error
                        }
                    }
                    if !attempt.end(with: result), case .success(let socket) = result { close(socket.descriptor) }
                }
                if code != 0 {
                    attempt.end(
                        with: .failure(SystemError("pthread_create", errno: code, peer: endpoint.description)))
                }
            }
        } onCancel: {
            attempt.end(with: .failure(SystemError("connect", errno: ECANCELED, peer: endpoint.description)))
        }
    }

    private static let timers = DispatchQueue(label: "df2redis.dialer")

    /// The result of an attempt. The first to end it decides: the attempt's thread, or a cancellation, which may come before
    /// the start.
    private final class Attempt: Sendable {
        private enum State {
            case new
            case waiting(CheckedContinuation<ConnectedSocket, any Error>)
            case ended(Result<ConnectedSocket, any Error>)
        }

        private let state = Lock(State.new)
        private let resolved = Lock(false)

        var isResolving: Bool { resolved.withLock { !$0 } }

        func hasResolved() { resolved.withLock { $0 = true } }

        func begin(_ continuation: CheckedContinuation<ConnectedSocket, any Error>) {
            let early: Result<ConnectedSocket, any Error>? = state.withLock { state in
                if case .ended(let result) = state { return result }
                state = .waiting(continuation)
                return nil
            }
            if let early { continuation.resume(with: early) }
        }

        /// - Returns: `false` if the attempt has ended before.
        @discardableResult
        func end(with result: Result<ConnectedSocket, any Error>) -> Bool {
            let before = state.withLock { state in
                defer { if case .ended = state {} else { state = .ended(result) } }
                return state
            }
            switch before {
            case .new: return true
            case .waiting(let continuation):
                continuation.resume(with: result)
                return true
            case .ended: return false
            }
        }
    }

    /// One address of a host.
    struct Address: Sendable {
        private var storage = sockaddr_storage()
        private let size: socklen_t

        init(_ address: UnsafePointer<sockaddr>, size: socklen_t) {
            self.size = min(size, socklen_t(MemoryLayout<sockaddr_storage>.size))
            withUnsafeMutableBytes(of: &storage) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(self.size)))
            }
        }

        var family: Int32 { Int32(storage.ss_family) }

        func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
            withUnsafePointer(to: storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
            }
        }
    }

    private static func addresses(of endpoint: Endpoint) throws(SystemError) -> [Address] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(endpoint.host, String(endpoint.port), &hints, &list)
        guard code == 0 else { throw SystemError("getaddrinfo", errno: code, peer: endpoint.description) }
        defer { freeaddrinfo(list) }
        var addresses: [Address] = []
        var next = list
        while let entry = next {
            if let address = entry.pointee.ai_addr {
                addresses.append(Address(address, size: entry.pointee.ai_addrlen))
            }
            next = entry.pointee.ai_next
        }
        return addresses
    }

    private static func connectBlocking(
        to addresses: [Address], peer: String, deadline: ContinuousClock.Instant
    ) throws(SystemError) -> Int32 {
        var failure = SystemError("connect", errno: ETIMEDOUT, peer: peer)
        for (index, address) in addresses.enumerated() {
            let share = ContinuousClock.now.duration(to: deadline) / (addresses.count - index)
            do throws(SystemError) {
                return try connect(address, peer: peer, deadline: .now + share)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private static func connect(
        _ address: Address, peer: String, deadline: ContinuousClock.Instant
    ) throws(SystemError) -> Int32 {
        let flags = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.family, flags, 0)
        guard descriptor >= 0 else { throw SystemError("socket", errno: errno, peer: peer) }
        var keep = false
        defer { if !keep { closeUnused(descriptor) } }

        if address.withSocketAddress({ Glibc.connect(descriptor, $0, $1) }) != 0 {
            guard errno == EINPROGRESS else { throw SystemError("connect", errno: errno, peer: peer) }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            while true {
                let left = ContinuousClock.now.duration(to: deadline)
                guard left > .zero else { throw SystemError("connect", errno: ETIMEDOUT, peer: peer) }
                let ready = poll(&waiting, 1, Int32(clamping: left.milliseconds + 1))
                if ready > 0 { break }
                if ready < 0, errno != EINTR { throw SystemError("poll", errno: errno, peer: peer) }
            }
            var code: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
            // The server may have accepted the connection, sent the reason for its refusal, and reset the connection. The
            // reader of the socket will find out.
            var unread: Int32 = 0
            guard code == 0 || (ioctl(descriptor, UInt(FIONREAD), &unread) == 0 && unread > 0) else {
                throw SystemError("connect", errno: code, peer: peer)
            }
        }
        configure(descriptor)
        keep = true
        return descriptor
    }

    /// Closes a socket on which nothing was sent, with RST if it is already connected. If a FIN is the first thing that a
    /// Dragonfly receives on a TLS port, that master crashes (Protocol 2.7).
    private static func closeUnused(_ descriptor: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    /// A peer that vanished without a FIN is noticed after 30 s + 3 x 10 s of silence, or when what we sent has not
    /// been acknowledged for 60 s.
    private static func configure(_ descriptor: Int32) {
        func set(_ level: Int32, _ name: Int32, _ value: Int32) {
            var value = value
            setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        let tcp = Int32(IPPROTO_TCP)
        set(tcp, TCP_NODELAY, 1)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(tcp, TCP_KEEPIDLE, 30)
        set(tcp, TCP_KEEPINTVL, 10)
        set(tcp, TCP_KEEPCNT, 3)
        set(tcp, TCP_USER_TIMEOUT, 60_000)
    }
}
