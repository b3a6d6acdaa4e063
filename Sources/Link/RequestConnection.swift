package import Dispatch
import Glibc
package import Wire

/// A connection on which each request is answered by one reply, in order: handshakes, probes, control.
package actor RequestConnection {
    private let executor: QueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    package nonisolated let endpoint: Endpoint
    package nonisolated var queue: DispatchQueue { executor.queue }

    private var channel: Channel?
    private var received = ByteBuffer()
    /// Exchanges without all of their replies, in the order in which these come.
    private var outstanding: [Exchange] = []
    private var lastID: UInt64 = 0
    private var failure: RequestFailure?
    private var hasReplied = false
    /// The last reply, if it is an error that may belong to the connection and not to the request.
    private var possibleCloseReason: String?
    private var lastReply = ContinuousClock.now
    private var endWaiters: [CheckedContinuation<Void, Never>] = []
    private var isEncrypted = false
    private var isEstablished = false
    private var handshakeWaiters: [UInt64: CheckedContinuation<Bool, any Error>] = [:]

    /// Connects, makes TLS of it where that is asked for, and starts reading.
    ///
    /// - Parameter tls: `nil` for plaintext.
    /// - Throws: `SystemError`, `RequestFailure`.
    package static func connect(
        to endpoint: Endpoint, tls: TLSSettings?, label: String, timeout: Duration
    ) async throws -> RequestConnection {
        let connection = RequestConnection(endpoint: endpoint, executor: QueueExecutor(label: label))
        guard let tls else {
            try await connection.start(Dialer.connect(to: endpoint, timeout: timeout))
            return connection
        }
        do {
            // Before the server hears of us: a file that cannot be used costs it no connection.
            let context = try TLSContext(tls)
            try await connection.start(
                Dialer.connect(to: endpoint, timeout: timeout) { descriptor in
                    let session = try TLSSession(
                        context, tls, descriptor: descriptor, host: endpoint.host, peer: endpoint.description)
                    return ConnectedSocket(descriptor, tls: session)
                })
        } catch let error as TLSError {
            throw RequestFailure.tls(error)
        }
        do {
            try await connection.handshake(tls, timeout: timeout)
            return connection
        } catch {
            await connection.close()
            throw error
        }
    }

    private init(endpoint: Endpoint, executor: QueueExecutor) {
        self.endpoint = endpoint
        self.executor = executor
    }

    private func start(_ socket: ConnectedSocket) {
        let channel = Channel(socket, peer: endpoint.description, queue: executor.queue)
        self.channel = channel
        isEncrypted = socket.tls != nil
        isEstablished = socket.tls == nil
        channel.startWriting { [weak self] error in self?.assumeIsolated { $0.writeFailed(error) } }
        channel.startReading { [weak self] in self?.assumeIsolated { $0.readAvailable() } }
    }

    // MARK: Requests

    /// Sends a command and waits for its reply: `requests` of one.
    package func request(_ arguments: [[UInt8]], timeout: Duration = .seconds(10)) async throws -> RESPValue {
        try await requests([arguments], timeout: timeout)[0]
    }

    package func request(_ arguments: String..., timeout: Duration = .seconds(10)) async throws -> RESPValue {
        try await request(arguments.map { Array($0.utf8) }, timeout: timeout)
    }

    /// Sends all `commands` at once and waits for their replies, which come in the same order. An error reply is a value, not
    /// an error.
    ///
    /// A cancelled wait leaves the connection usable: the replies are dropped when they come.
    ///
    /// - Parameter timeout: for all of them together.
    /// - Throws: `RequestFailure`; but for `cancelled` the connection is of no use after it.
    package func requests(
        _ commands: [[[UInt8]]], timeout: Duration = .seconds(10)
    ) async throws -> [RESPValue] {
        do {
            return try await exchange(commands, timeout: timeout)
        } catch {
            throw await explained(error)
        }
    }

    /// What a server that wants TLS does with a plain client is another error than a lost connection.
    private func explained(_ error: any Error) async -> any Error {
        guard !isEncrypted, !hasReplied, wasClosedInSilence,
            await ProtocolProbe.speaksTLS(endpoint, within: .seconds(1))
        else { return error }
        return RequestFailure.needsTLS(peer: endpoint.description)
    }

    /// As `requests`, without a look at what else the peer might speak.
    func exchange(_ commands: [[[UInt8]]], timeout: Duration) async throws -> [RESPValue] {
        if commands.isEmpty { return [] }
        if let failure { throw failure }
        guard let channel, !channel.hasSentFIN else { throw RequestFailure.closed(peer: endpoint.description) }
        return try await replies(commands.count, within: timeout) {
            channel.write { outgoing in
                for arguments in commands {
                    outgoing.appendCommandHead(arguments.count)
                    for argument in arguments { outgoing.appendBulk(argument.span.bytes) }
                }
            }
        }
    }

    /// Waits for what the peer sends unasked, as to a subscriber; it comes in the order of the calls.
    ///
    /// - Throws: as `requests`.
    package func receive(within limit: Duration) async throws -> RESPValue {
        if let failure { throw failure }
        return try await replies(1, within: limit) { deliver() }[0]
    }

    /// - Parameter request: makes the peer send what is waited for.
    private func replies(_ count: Int, within limit: Duration, to request: () -> Void) async throws -> [RESPValue] {
        let id = newID()
        after(limit) { $0.expire(id, after: limit) }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                outstanding.append(Exchange(id, replyCount: count, continuation))
                request()
                if Task.isCancelled { abandon(id) }
            }
        } onCancel: {
            executor.queue.async { [weak self] in self?.assumeIsolated { $0.abandon(id) } }
        }
    }

    private func newID() -> UInt64 {
        lastID += 1
        return lastID
    }

    private func after(_ delay: Duration, _ body: @escaping @Sendable (isolated RequestConnection) -> Void) {
        executor.queue.asyncAfter(deadline: .now() + delay.secondsAsDouble) { [weak self] in
            self?.assumeIsolated(body)
        }
    }

    private func expire(_ id: UInt64, after limit: Duration) {
        if outstanding.contains(where: { $0.id == id && $0.isAwaited }) {
            fail(.timedOut(peer: endpoint.description, limit))
        }
    }

    /// Nobody waits any more for an exchange, or for the handshake; what is still answered is dropped.
    private func abandon(_ id: UInt64) {
        let reason = RequestFailure.cancelled(peer: endpoint.description)
        outstanding.first { $0.id == id }?.fail(reason)
        handshakeWaiters.removeValue(forKey: id)?.resume(throwing: reason)
    }

    /// Ends the connection as if the peer had: it is no longer the one to talk to, and may not answer any more.
    package func giveUp() { fail(.closedByPeer(peer: endpoint.description, reason: nil)) }

    // MARK: TLS

    /// How long a handshake may take before a plain question finds out whether the server speaks TLS at all: one that does
    /// not waits for the end of a line.
    private static let handshakePatience = Duration.seconds(2)

    private func handshake(_ tls: TLSSettings, timeout: Duration) async throws {
        readAvailable()
        let patience = min(Self.handshakePatience, timeout)
        do {
            if try await completeHandshake(within: patience) { return }
        } catch RequestFailure.tls(let error) where error.code == .unanswered {
            // A Dragonfly that speaks plaintext ends the connection without a word.
            guard await ProtocolProbe.speaksPlaintext(endpoint, within: .seconds(1)) else {
                throw RequestFailure.tls(error)
            }
            throw RequestFailure.tls(.plaintext(peer: endpoint.description, answer: [], tls))
        }
        if await ProtocolProbe.speaksPlaintext(endpoint, within: .seconds(1)) {
            throw RequestFailure.tls(.plaintext(peer: endpoint.description, answer: [], tls))
        }
        if try await completeHandshake(within: max(timeout - patience, .milliseconds(1))) { return }
        throw RequestFailure.tls(
            TLSError(
                .unanswered, "\(endpoint) has not answered the TLS handshake within \(timeout.milliseconds) ms"))
    }

    /// - Returns: `false` when it is not complete within `limit`.
    private func completeHandshake(within limit: Duration) async throws -> Bool {
        if let failure { throw failure }
        if isEstablished { return true }
        let id = newID()
        after(limit) { $0.handshakeWaiters.removeValue(forKey: id)?.resume(returning: false) }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                handshakeWaiters[id] = continuation
                if Task.isCancelled { abandon(id) }
            }
        } onCancel: {
            executor.queue.async { [weak self] in self?.assumeIsolated { $0.abandon(id) } }
        }
    }

    /// - Returns: whether the handshake is complete.
    private func establish(_ channel: Channel) -> Bool {
        do throws(ChannelError) {
            guard try channel.handshake() else { return false }
        } catch {
            fail(RequestFailure(error))
            return false
        }
        isEstablished = true
        let waiters = handshakeWaiters.values
        handshakeWaiters = [:]
        for waiter in waiters { waiter.resume(returning: true) }
        return true
    }

    // MARK: The end

    /// Gives up the socket, its TLS session included, with what has been read of it and not consumed. The caller owns it.
    ///
    /// - Throws: what broke the connection; `closed` while a reply is outstanding.
    package func detach() async throws(RequestFailure) -> (socket: ConnectedSocket, unconsumed: [UInt8]) {
        guard let channel, failure == nil, outstanding.isEmpty else {
            throw failure ?? .closed(peer: endpoint.description)
        }
        self.channel = nil
        let socket = await withCheckedContinuation { continuation in
            channel.detach { continuation.resume(returning: $0) }
        }
        return (socket, received.withUnsafeBytes { Array($0) })
    }

    /// When the first of the server's certificates ends, in Unix seconds; `nil` in plaintext.
    package var certificateEnd: Int64? { channel?.certificateEnd }

    /// The socket, for those who keep a copy of it; `nil` when it is closed.
    package var descriptor: Int32? { channel?.descriptor }

    /// Sends FIN, drops what still comes until the peer's FIN, and closes: no reply meets a closed socket, which the
    /// kernel would answer with RST.
    ///
    /// - Returns: `false` when the peer's FIN did not come within `limit`.
    package func leave(within limit: Duration) async -> Bool {
        guard let channel else { return true }
        channel.shutdownWrite()
        after(limit) { $0.releaseEndWaiters() }
        await withCheckedContinuation { endWaiters.append($0) }
        defer { close() }
        return self.channel == nil
    }

    private func releaseEndWaiters() {
        for waiter in endWaiters { waiter.resume() }
        endWaiters = []
    }

    /// Sends FIN and closes.
    package func close() {
        fail(.closed(peer: endpoint.description))
    }

    /// The peer has closed, or the connection broke.
    package var isBroken: Bool { failure != nil }

    /// The peer has ended the connection, and did not say why.
    package var wasClosedInSilence: Bool {
        switch failure {
        case .closedByPeer(_, reason: nil), .system: true
        case .closedByPeer, .tls, .needsTLS, .timedOut, .malformedReply, .closed, .cancelled, nil: false
        }
    }

    /// How long the peer has sent no reply.
    package var idleTime: Duration { lastReply.duration(to: .now) }

    private func writeFailed(_ error: SystemError) {
        // Why the peer has closed comes before its FIN or its reset.
        readAvailable()
        fail(.system(error))
    }

    private func readAvailable() {
        guard let channel, isEstablished || establish(channel) else { return }
        var end: RequestFailure?
        do throws(ChannelError) {
            while true {
                var result = Channel.ReadResult.wouldBlock
                try received.appendUninitialized(minimum: 16 << 10) { (room) throws(ChannelError) in
                    result = try channel.read(into: room)
                    if case .bytes(let count) = result { return count }
                    return 0
                }
                if result == .wouldBlock { break }
                if result == .endOfStream {
                    end = .closedByPeer(peer: endpoint.description, reason: nil)
                    break
                }
            }
        } catch {
            end = RequestFailure(error)
        }
        deliver()
        if let end { fail(end) }
    }

    private func deliver() {
        do throws(WireError) {
            var consumed = 0
            defer {
                received.removeFirst(consumed)
                if consumed > 0 { lastReply = .now }
            }
            while let exchange = outstanding.first {
                while !exchange.isComplete {
                    var reader = ByteReader(received.bytes, offset: consumed)
                    guard let reply = try reader.readRESPValue() else { return }
                    consumed = reader.offset
                    note(reply)
                    exchange.add(reply)
                }
                outstanding.removeFirst()
                exchange.succeed()
            }
        } catch {
            fail(
                isTLSRecord ? .needsTLS(peer: endpoint.description) : .malformedReply(peer: endpoint.description, error)
            )
        }
    }

    /// What a server says to a client that does not speak TLS is an alert: its type, and the version.
    private var isTLSRecord: Bool {
        received.withUnsafeBytes { $0.starts(with: [0x15, 0x03]) }
    }

    private func note(_ reply: RESPValue) {
        let text = reply.errorText
        // What a server says to a connection before it closes it reads like the reply to the first request.
        possibleCloseReason = hasReplied && text?.hasPrefix("ERR Protocol error") != true ? nil : text
        hasReplied = true
    }

    private func fail(_ cause: RequestFailure) {
        guard failure == nil else { return }
        var reason = cause
        switch cause {
        case .system, .closedByPeer:
            if isTLSRecord {
                reason = .needsTLS(peer: endpoint.description)
            } else if let words = errorLine(in: received.bytes) ?? possibleCloseReason {
                reason = .closedByPeer(peer: endpoint.description, reason: words)
            }
        case .tls, .needsTLS, .timedOut, .malformedReply, .closed, .cancelled: break
        }
        failure = reason
        channel?.close()
        channel = nil
        let unanswered = outstanding
        outstanding = []
        for exchange in unanswered { exchange.fail(reason) }
        let handshakes = handshakeWaiters.values
        handshakeWaiters = [:]
        for continuation in handshakes { continuation.resume(throwing: reason) }
        releaseEndWaiters()
    }
}

/// Requests that were sent together, one or more, and the replies that have come.
///
/// Not Sendable: it lives on its connection's queue.
private final class Exchange {
    let id: UInt64
    private let replyCount: Int
    private var replies: [RESPValue] = []
    /// `nil` once nobody waits: the replies that still come are dropped.
    private var continuation: CheckedContinuation<[RESPValue], any Error>?

    init(_ id: UInt64, replyCount: Int, _ continuation: CheckedContinuation<[RESPValue], any Error>) {
        self.id = id
        self.replyCount = replyCount
        self.continuation = continuation
        replies.reserveCapacity(replyCount)
    }

    var isAwaited: Bool { continuation != nil }
    var isComplete: Bool { replies.count == replyCount }

    func add(_ reply: RESPValue) { replies.append(reply) }

    func succeed() {
        continuation?.resume(returning: replies)
        continuation = nil
    }

    func fail(_ reason: RequestFailure) {
        continuation?.resume(throwing: reason)
        continuation = nil
    }
}
