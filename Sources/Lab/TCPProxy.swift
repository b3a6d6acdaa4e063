import Foundation

/// A proxy in front of a server on 127.0.0.1. It acts as a network that can hold bytes back, limit the number of
/// commands a second, or delay bytes.
///
/// Each direction of a connection has a thread. Bytes that a client has sent before it disconnects are still delivered,
/// as on a network.
package final class TCPProxy: @unchecked Sendable {  // everything that threads share is under the lock
    private struct State {
        var isStopped = false
        /// The server's port.
        var server: UInt16
        var generation = 0
        /// Connections up to this generation deliver nothing to the server.
        var heldGeneration: Int?
        var heldBytes = 0
        var descriptors: Set<Int32> = []
        var commandsPerSecond: Int?
        /// A connection that has carried more bytes than this to the server is broken, as long as `breaksLeft` is positive.
        var breakAfterBytes = Int.max
        var breaksLeft = 0
        /// When the next command may pass.
        var next = ContinuousClock.now
    }

    package var port: UInt16 { listener.port }
    private let listener: Listener
    private let lock = NSCondition()
    private var state: State
    /// How long bytes take in each direction.
    private let delay: Duration
    private let onReply: (@Sendable (ArraySlice<UInt8>) -> Void)?
    private let onTraffic: (@Sendable (Traffic) -> Void)?

    /// Bytes that pass through the proxy.
    package struct Traffic: Sendable {
        /// The connection's number.
        package var connection: Int
        /// Whether the bytes go to the server. Otherwise they are replies, which reach the client after they have been seen.
        package var isRequest: Bool
        package var bytes: ArraySlice<UInt8>
    }

    /// - Parameters:
    ///   - commandsPerSecond: the limit for commands to the server, over all connections; `nil` for no limit.
    ///   - delay: how long bytes take in each direction. Any number of bytes can be on their way.
    ///   - onReply: sees what the server has sent before it is passed on, on the connection's own thread.
    ///   - onTraffic: sees both directions, each on its own thread: requests when they arrive, replies after their delay.
    package init(
        to server: UInt16, commandsPerSecond: Int? = nil, delay: Duration = .zero,
        onReply: (@Sendable (ArraySlice<UInt8>) -> Void)? = nil, onTraffic: (@Sendable (Traffic) -> Void)? = nil
    ) throws {
        self.onReply = onReply
        self.onTraffic = onTraffic
        self.delay = delay
        state = State(server: server, commandsPerSecond: commandsPerSecond)
        listener = try Listener()
        Thread { [self] in acceptLoop() }.start()
    }

    /// The limit for commands to the server a second, over all connections; `nil` for no limit.
    package var commandsPerSecond: Int? {
        get { lock.withLock { state.commandsPerSecond } }
        set { lock.withLock { state.commandsPerSecond = newValue } }
    }

    /// Ends every connection and accepts no more.
    package func stop() {
        lock.withLock {
            guard !state.isStopped else { return }
            state.isStopped = true
            for descriptor in state.descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
            listener.stop()
            lock.broadcast()
        }
    }

    /// Breaks the existing connections, and connects later ones to another server.
    package func redirect(to server: UInt16) {
        lock.withLock {
            state.server = server
            for descriptor in state.descriptors { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Breaks the next `times` connections that carry more than `bytes` to the server.
    package func breakConnections(carrying bytes: Int, times: Int) {
        lock.withLock { (state.breakAfterBytes, state.breaksLeft) = (bytes, times) }
    }

    /// How many connections are still to be broken.
    package var breaksLeft: Int { lock.withLock { state.breaksLeft } }

    /// Holds back everything that the existing connections send to the server from now on; later connections are not
    /// affected.
    package func holdBack() {
        lock.withLock {
            state.heldGeneration = state.generation
            state.generation += 1
        }
    }

    /// Delivers the bytes that have been held back.
    package func release() {
        lock.withLock {
            state.heldGeneration = nil
            lock.broadcast()
        }
    }

    /// Bytes of requests that are held back.
    package var heldBytes: Int { lock.withLock { state.heldBytes } }

    // MARK: Threads

    private func acceptLoop() {
        var number = 0
        while true {
            guard let client = listener.accept() else { return }
            guard let server = connectToServer() else {
                close(client)
                continue
            }
            for descriptor in [client, server] {
                var on: Int32 = 1
                setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
            }
            let pair = Pair(number, client: client, server: server)
            number += 1
            let generation = lock.withLock { () -> Int? in
                guard !state.isStopped else { return nil }
                state.descriptors.formUnion([client, server])
                return state.generation
            }
            guard let generation else { return }
            Thread { [self] in
                relay(from: client, to: server, pair, generation: generation)
            }.start()
            Thread { [self] in relay(from: server, to: client, pair, generation: nil) }.start()
        }
    }

    /// Both sockets of a connection, closed when both directions have ended.
    private final class Pair: @unchecked Sendable {  // `directions` is under the proxy's lock
        let number: Int
        let client: Int32
        let server: Int32
        var directions = 2

        init(_ number: Int, client: Int32, server: Int32) {
            (self.number, self.client, self.server) = (number, client, server)
        }
    }

    private func connectToServer() -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = loopback(port: lock.withLock { state.server })
        let code = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if code == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    /// - Parameter generation: the generation of a direction to the server, which may be held back and paced; `nil` for
    /// replies.
    private func relay(from source: Int32, to sink: Int32, _ pair: Pair, generation: Int?) {
        var buffer = [UInt8](repeating: 0, count: delay > .zero ? 256 << 10 : 16 << 10)
        let isRequest = generation != nil
        let number = pair.number
        let onArrival: @Sendable (ArraySlice<UInt8>) -> Void = { [onTraffic] bytes in
            if !isRequest { onTraffic?(Traffic(connection: number, isRequest: false, bytes: bytes)) }
        }
        let path = delay > .zero ? DelayedPath(to: sink, delay: delay, onArrival: onArrival) : nil
        var counter = CommandCounter()
        var carriedBytes = 0
        while true {
            let count = recv(source, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            if isRequest { onTraffic?(Traffic(connection: number, isRequest: true, bytes: buffer[..<count])) }
            if let generation {
                pace(counter.commands(in: buffer[..<count]))
                waitWhileHeld(count, generation)
                carriedBytes += count
                if breaks(carriedBytes) {
                    shutdown(pair.client, Int32(SHUT_RDWR))
                    break
                }
            } else {
                onReply?(buffer[..<count])
            }
            if let path {
                path.send(Array(buffer[..<count]))
            } else {
                onArrival(buffer[..<count])
                guard Self.sendAll(buffer[..<count], to: sink) else { break }
            }
        }
        path?.finish()
        // If the client is gone, its bytes are still delivered. If the server is gone, there are no more replies.
        shutdown(sink, Int32(SHUT_WR))
        if generation == nil { shutdown(pair.client, Int32(SHUT_RDWR)) }
        lock.withLock {
            pair.directions -= 1
            guard pair.directions == 0 else { return }
            state.descriptors.subtract([pair.client, pair.server])
            close(pair.client)
            close(pair.server)
        }
    }

    private func breaks(_ carriedBytes: Int) -> Bool {
        lock.withLock {
            guard state.breaksLeft > 0, carriedBytes > state.breakAfterBytes else { return false }
            state.breaksLeft -= 1
            return true
        }
    }

    private func waitWhileHeld(_ count: Int, _ generation: Int) {
        lock.lock()
        defer { lock.unlock() }
        state.heldBytes += count
        while let held = state.heldGeneration, generation <= held, !state.isStopped { lock.wait() }
        state.heldBytes -= count
    }

    /// Waits for as long as `count` more commands take at the limited rate.
    private func pace(_ count: Int) {
        let due = lock.withLock { () -> ContinuousClock.Instant? in
            guard let commandsPerSecond = state.commandsPerSecond, count > 0 else { return nil }
            let now = ContinuousClock.now
            state.next = max(state.next, now) + .seconds(Double(count) / Double(commandsPerSecond))
            return state.next
        }
        let wait = due.map { ContinuousClock.now.duration(to: $0) } ?? .zero
        if wait > .zero { blockThread(for: wait) }
    }

    fileprivate static func sendAll(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if sent < 0, errno == EINTR { continue }
            guard sent > 0 else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }
}

/// Delays bytes: its own thread delivers them in order when they are due.
private final class DelayedPath: @unchecked Sendable {  // everything that threads share is under the lock
    private let sink: Int32
    private let delay: Duration
    private let lock = NSCondition()
    private var pieces: [(due: ContinuousClock.Instant, bytes: [UInt8])] = []
    private var hasEnded = false
    private var isThrough = false

    private let onArrival: @Sendable (ArraySlice<UInt8>) -> Void

    /// - Parameter onArrival: sees bytes before they are delivered.
    init(to sink: Int32, delay: Duration, onArrival: @escaping @Sendable (ArraySlice<UInt8>) -> Void) {
        (self.sink, self.delay, self.onArrival) = (sink, delay, onArrival)
        Thread { [self] in deliver() }.start()
    }

    func send(_ bytes: [UInt8]) {
        lock.withLock {
            pieces.append((.now + delay, bytes))
            lock.broadcast()
        }
    }

    /// Waits until all bytes are delivered, or cannot be delivered.
    func finish() {
        lock.withLock {
            hasEnded = true
            lock.broadcast()
            while !isThrough { lock.wait() }
        }
    }

    private func deliver() {
        var isOpen = true
        while true {
            let next = lock.withLock { () -> [(due: ContinuousClock.Instant, bytes: [UInt8])]? in
                while pieces.isEmpty, !hasEnded { lock.wait() }
                if pieces.isEmpty {
                    isThrough = true
                    lock.broadcast()
                    return nil
                }
                defer { pieces = [] }
                return pieces
            }
            guard let next else { return }
            for (due, bytes) in next where isOpen {
                let wait = ContinuousClock.now.duration(to: due)
                if wait > .zero { blockThread(for: wait) }
                onArrival(bytes[...])
                isOpen = TCPProxy.sendAll(bytes[...], to: sink)
            }
        }
    }
}

/// Counts the commands that begin in a stream of requests.
struct CommandCounter {
    private var argumentsLeft = 0
    /// Bytes of an argument, with its line end, that are still to come.
    private var bytesLeft = 0
    /// The number in the line so far.
    private var number = 0

    mutating func commands(in bytes: ArraySlice<UInt8>) -> Int {
        bytes.withUnsafeBufferPointer { commands(in: $0) }
    }

    private mutating func commands(in bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var (count, index) = (0, 0)
        while index < bytes.count {
            if bytesLeft > 0 {
                let step = min(bytesLeft, bytes.count - index)
                bytesLeft -= step
                index += step
                if bytesLeft == 0 { argumentsLeft -= 1 }
                continue
            }
            let byte = bytes[index]
            index += 1
            if (0x30...0x39).contains(byte) { number = number * 10 + Int(byte - 0x30) }
            guard byte == UInt8(ascii: "\n") else { continue }
            if argumentsLeft == 0 {
                count += 1
                argumentsLeft = number
            } else {
                bytesLeft = number + 2
            }
            number = 0
        }
        return count
    }
}
