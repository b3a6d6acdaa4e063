package import Dispatch
package import Wire

/// Why a request has no usable reply.
package enum RequestFailure: Error, Sendable, CustomStringConvertible {
    case system(SystemError)
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
        case .closedByPeer(let peer, nil): "\(peer) closed the connection"
        case .closedByPeer(let peer, let reason?): "\(peer) closed the connection: \(reason)"
        case .timedOut(let peer, let limit): "no answer from \(peer) within \(limit.milliseconds) ms"
        case .malformedReply(let peer, let error): "\(peer) does not speak the Redis protocol: \(error)"
        case .closed(let peer): "the connection to \(peer) is closed"
        case .cancelled(let peer): "the answer of \(peer) is no longer waited for"
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

    /// Connects and starts reading.
    package static func connect(
        to endpoint: Endpoint, label: String, timeout: Duration
    ) async throws -> RequestConnection {
        let descriptor = try await Dialer.connect(to: endpoint, timeout: timeout)
        let connection = RequestConnection(endpoint: endpoint, executor: QueueExecutor(label: label))
        await connection.start(descriptor)
        return connection
    }

    private init(endpoint: Endpoint, executor: QueueExecutor) {
        self.endpoint = endpoint
        self.executor = executor
    }

    private func start(_ descriptor: Int32) {
        let channel = Channel(descriptor: descriptor, peer: endpoint.description, queue: executor.queue)
        self.channel = channel
        channel.startWriting { [weak self] error in self?.assumeIsolated { $0.writeFailed(error) } }
        channel.startReading { [weak self] in self?.assumeIsolated { $0.readAvailable() } }
    }

    /// Sends a command and waits for its reply. An error reply is a value, not an error.
    ///
    /// A cancelled wait leaves the connection usable: the reply is dropped when it comes.
    ///
    /// - Throws: `RequestFailure`; but for `cancelled` the connection is of no use after it.
    package func request(_ arguments: [[UInt8]], timeout: Duration = .seconds(10)) async throws -> RESPValue {
        if let failure { throw failure }
        guard let channel, !channel.hasSentFIN else { throw RequestFailure.closed(peer: endpoint.description) }
        let id = nextID
        nextID += 1
        executor.queue.asyncAfter(deadline: .now() + timeout.secondsAsDouble) { [weak self] in
            self?.assumeIsolated { $0.expire(id, after: timeout) }
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                waiting[id] = continuation
                order.append(id)
                channel.write { outgoing in
                    outgoing.appendCommandHead(arguments.count)
                    for argument in arguments { outgoing.appendBulk(argument.span.bytes) }
                }
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

    private func abandon(_ id: UInt64) {
        pipelines[id]?.fail(.cancelled(peer: endpoint.description))
        waiting.removeValue(forKey: id)?.resume(throwing: RequestFailure.cancelled(peer: endpoint.description))
    }

    package func request(_ arguments: String..., timeout: Duration = .seconds(10)) async throws -> RESPValue {
        try await request(arguments.map { Array($0.utf8) }, timeout: timeout)
    }

    /// Gives up the socket with what has been read of it and not consumed. The caller owns the descriptor.
    ///
    /// - Throws: what broke the connection; `closed` while a reply is outstanding.
    package func detach() async throws(RequestFailure) -> (descriptor: Int32, unconsumed: [UInt8]) {
        guard let channel, failure == nil, order.isEmpty else {
            throw failure ?? .closed(peer: endpoint.description)
        }
        self.channel = nil
        let descriptor = await withCheckedContinuation { continuation in
            channel.detach { continuation.resume(returning: $0) }
        }
        return (descriptor, received.withUnsafeBytes { Array($0) })
    }

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
        case .closedByPeer, .timedOut, .malformedReply, .closed, .cancelled, nil: false
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
        guard let channel else { return }
        var end: RequestFailure?
        do throws(SystemError) {
            while true {
                var result = Channel.ReadResult.wouldBlock
                try received.appendUninitialized(minimum: 16 << 10) { (room) throws(SystemError) in
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
            end = .system(error)
        }
        deliver()
        if let end { fail(end) }
    }

    private func deliver() {
        do throws(WireError) {
            while !order.isEmpty {
                var reader = ByteReader(received.bytes)
                guard let value = try reader.readRESPValue() else { return }
                let consumed = reader.offset
                received.removeFirst(consumed)
                note(value)
                if pipelines[order[0]]?.add(value) == false { continue }
                let id = order.removeFirst()
                pipelines.removeValue(forKey: id)?.succeed()
                waiting.removeValue(forKey: id)?.resume(returning: value)
            }
        } catch {
            fail(.malformedReply(peer: endpoint.description, error))
        }
    }

    private func note(_ reply: RESPValue) {
        let text = reply.errorText
        // What a server says to a connection before it closes it reads like the reply to the first request.
        partingReply = hasReplied && text?.hasPrefix("ERR Protocol error") != true ? nil : text
        hasReplied = true
        lastReply = .now
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
            if let words = errorLine(in: received.bytes) ?? partingReply {
                reason = .closedByPeer(peer: endpoint.description, reason: words)
            }
        case .timedOut, .malformedReply, .closed, .cancelled: break
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
