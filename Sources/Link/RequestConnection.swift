package import Dispatch
import Glibc
package import Wire

/// Why a request has no usable reply.
package enum RequestFailure: Error, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// The connection cannot be encrypted.
    case tls(TLSError)
    /// The peer speaks TLS, and we do not.
    case needsTLS(peer: String)
    /// The peer has ended the connection; `reason` is the error line that it sent before, unasked, such as
    /// `ERR max number of clients reached`.
    case closedByPeer(peer: String, reason: String?)
    case timedOut(peer: String, Duration)
    case malformedReply(peer: String, WireError)
    case closed(peer: String)
    /// Whoever waited for the reply was cancelled; the connection is as good as before.
    case cancelled(peer: String)

    package var description: String {
        switch self {
        case .system(let error): "\(error)"
        case .tls(let error): "\(error)"
        case .needsTLS(let peer): "\(peer) speaks TLS on this port"
        case .closedByPeer(let peer, nil): "\(peer) closed the connection"
        case .closedByPeer(let peer, let reason?): "\(peer) closed the connection: \(reason)"
        case .timedOut(let peer, let limit): "no answer from \(peer) within \(limit.milliseconds) ms"
        case .malformedReply(let peer, let error): "\(peer) does not speak the Redis protocol: \(error)"
        case .closed(let peer): "the connection to \(peer) is closed"
        case .cancelled(let peer): "the answer of \(peer) is no longer waited for"
        }
    }
}

extension RequestFailure {
    package init(_ error: ChannelError) {
        switch error {
        case .system(let error): self = .system(error)
        case .tls(let error): self = .tls(error)
        }
    }
}

/// A connection on which one request is answered by one reply, in order: handshakes, probes, control.
package actor RequestConnection {
    private let executor: QueueExecutor
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
    package nonisolated let endpoint: Endpoint
    package nonisolated var queue: DispatchQueue { executor.queue }

    private var channel: Channel?
    private var received = ByteBuffer()
    private var waiting: [UInt64: CheckedContinuation<RESPValue, any Error>] = [:]
    /// Requests without a reply, and pipelines without all of theirs, first come first.
    private var order: [UInt64] = []
    private var pipelines: [UInt64: Pipeline] = [:]
    private var nextID: UInt64 = 0
    private var failure: RequestFailure?
    private var hasReplied = false
    /// The last reply, if it is an error that may belong to the connection and not to the request.
    private var partingReply: String?
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

    /// Sends a command and waits for its reply. An error reply is a value, not an error.
    ///
    /// A cancelled wait leaves the connection usable: the reply is dropped when it comes.
    ///
    /// - Throws: `RequestFailure`; but for `cancelled` the connection is of no use after it.
    package func request(_ arguments: [[UInt8]], timeout: Duration = .seconds(10)) async throws -> RESPValue {
        do {
            return try await exchange(arguments, timeout: timeout)
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

    /// Waits for what the peer sends unasked, as to a subscriber; it comes in the order of the calls.
    ///
    /// - Throws: as `request`.
    package func receive(within limit: Duration) async throws -> RESPValue {
        if let failure { throw failure }
        return try await reply(within: limit) { deliver() }
    }

    /// As `request`, without a look at what else the peer might speak.
    func exchange(_ arguments: [[UInt8]], timeout: Duration) async throws -> RESPValue {
        if let failure { throw failure }
        guard let channel, !channel.hasSentFIN else { throw RequestFailure.closed(peer: endpoint.description) }
        return try await reply(within: timeout) {
            channel.write { outgoing in
                outgoing.appendCommandHead(arguments.count)
                for argument in arguments { outgoing.appendBulk(argument.span.bytes) }
            }
        }
    }

    /// - Parameter request: makes the peer send what is waited for.
    private func reply(within limit: Duration, to request: () -> Void) async throws -> RESPValue {
        let id = nextID
        nextID += 1
        executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.expire(id, after: limit) }
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                waiting[id] = continuation
                order.append(id)
                request()
                if Task.isCancelled { abandon(id) }
            }
        } onCancel: {
            executor.queue.async { [weak self] in self?.assumeIsolated { $0.abandon(id) } }
        }
    }

    /// Sends all `commands` at once and waits for their replies, which come in the same order. Error replies are values.
    ///
    /// - Parameter timeout: for all of them together.
    /// - Throws: as `request`.
    package func requests(
        _ commands: [[[UInt8]]], timeout: Duration = .seconds(10)
    ) async throws -> [RESPValue] {
        do {
            return try await exchangeAll(commands, timeout: timeout)
        } catch {
            throw await explained(error)
        }
    }

    private func exchangeAll(_ commands: [[[UInt8]]], timeout: Duration) async throws -> [RESPValue] {
        if commands.isEmpty { return [] }
        if let failure { throw failure }
        guard let channel, !channel.hasSentFIN else { throw RequestFailure.closed(peer: endpoint.description) }
        let id = nextID
        nextID += 1
        executor.queue.asyncAfter(deadline: .now() + timeout.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.expire(id, after: timeout) }
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                pipelines[id] = Pipeline(replyCount: commands.count, continuation)
                order.append(id)
                channel.write { outgoing in
                    for arguments in commands {
                        outgoing.appendCommandHead(arguments.count)
                        for argument in arguments { outgoing.appendBulk(argument.span.bytes) }
                    }
                }
                if Task.isCancelled { abandon(id) }
            }
        } onCancel: {
            executor.queue.async { [weak self] in self?.assumeIsolated { $0.abandon(id) } }
        }
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
            if try await isEstablished(within: patience) { return }
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
        if try await isEstablished(within: max(timeout - patience, .milliseconds(1))) { return }
        throw RequestFailure.tls(
            TLSError(
                .unanswered, "\(endpoint) has not answered the TLS handshake within \(timeout.milliseconds) ms"))
    }

    private func isEstablished(within limit: Duration) async throws -> Bool {
        if let failure { throw failure }
        if isEstablished { return true }
        let id = nextID
        nextID += 1
        executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.handshakeWaiters.removeValue(forKey: id)?.resume(returning: false) }
        }
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

    private func abandon(_ id: UInt64) {
        pipelines[id]?.fail(.cancelled(peer: endpoint.description))
        handshakeWaiters.removeValue(forKey: id)?.resume(
            throwing: RequestFailure.cancelled(peer: endpoint.description))
        waiting.removeValue(forKey: id)?.resume(throwing: RequestFailure.cancelled(peer: endpoint.description))
    }

    package func request(_ arguments: String..., timeout: Duration = .seconds(10)) async throws -> RESPValue {
        try await request(arguments.map { Array($0.utf8) }, timeout: timeout)
    }

    /// Gives up the socket, its TLS session included, with what has been read of it and not consumed. The caller owns it.
    ///
    /// - Throws: what broke the connection; `closed` while a reply is outstanding.
    package func detach() async throws(RequestFailure) -> (socket: ConnectedSocket, unconsumed: [UInt8]) {
        guard let channel, failure == nil, order.isEmpty else {
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
        executor.queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.releaseEndWaiters() }
        }
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
        // Why the peer has closed stands before its FIN or its reset.
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
            while let id = order.first {
                let pipeline = pipelines[id]
                var value: RESPValue
                repeat {
                    var reader = ByteReader(received.bytes, offset: consumed)
                    guard let reply = try reader.readRESPValue() else { return }
                    consumed = reader.offset
                    note(reply)
                    value = reply
                } while pipeline?.add(value) == false
                order.removeFirst()
                pipelines.removeValue(forKey: id)?.succeed()
                waiting.removeValue(forKey: id)?.resume(returning: value)
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
        partingReply = hasReplied && text?.hasPrefix("ERR Protocol error") != true ? nil : text
        hasReplied = true
    }

    private func expire(_ id: UInt64, after timeout: Duration) {
        if waiting[id] != nil || pipelines[id]?.isAwaited == true {
            fail(.timedOut(peer: endpoint.description, timeout))
        }
    }

    private func fail(_ cause: RequestFailure) {
        guard failure == nil else { return }
        var reason = cause
        switch cause {
        case .system, .closedByPeer:
            if isTLSRecord {
                reason = .needsTLS(peer: endpoint.description)
            } else if let words = errorLine(in: received.bytes) ?? partingReply {
                reason = .closedByPeer(peer: endpoint.description, reason: words)
            }
        case .tls, .needsTLS, .timedOut, .malformedReply, .closed, .cancelled: break
        }
        failure = reason
        channel?.close()
        channel = nil
        let continuations = order.compactMap { waiting[$0] }
        let pipelines = order.compactMap { self.pipelines[$0] }
        waiting = [:]
        self.pipelines = [:]
        order = []
        for pipeline in pipelines { pipeline.fail(reason) }
        for continuation in continuations { continuation.resume(throwing: reason) }
        let handshakes = handshakeWaiters.values
        handshakeWaiters = [:]
        for continuation in handshakes { continuation.resume(throwing: reason) }
        releaseEndWaiters()
    }
}

/// Requests that were sent together, and the replies that have come.
///
/// Not Sendable: it lives on its connection's queue.
private final class Pipeline {
    private let replyCount: Int
    private var replies: [RESPValue] = []
    /// `nil` once nobody waits: the replies that still come are dropped.
    private var continuation: CheckedContinuation<[RESPValue], any Error>?

    init(replyCount: Int, _ continuation: CheckedContinuation<[RESPValue], any Error>) {
        self.replyCount = replyCount
        self.continuation = continuation
        replies.reserveCapacity(replyCount)
    }

    var isAwaited: Bool { continuation != nil }

    /// - Returns: `true` when it was the last reply.
    func add(_ reply: RESPValue) -> Bool {
        replies.append(reply)
        return replies.count == replyCount
    }

    func succeed() {
        continuation?.resume(returning: replies)
        continuation = nil
    }

    func fail(_ reason: RequestFailure) {
        continuation?.resume(throwing: reason)
        continuation = nil
    }
}
