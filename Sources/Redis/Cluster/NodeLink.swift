package import Dispatch
package import Link
package import Wire

/// A connection to a node of a cluster, which carries many requests at a time. Replies arrive in order.
///
/// Not Sendable: it is confined to its owner's queue.
package final class NodeLink {
    /// What the owner does with replies and events.
    package struct Handlers {
        /// Called with each reply. The number is the index of an element in an EXEC's array, and `nil` for a complete reply.
        package var onReply: (NodeReply, NodeExpectation, Int?) -> Void
        /// Called after everything that has arrived is read.
        package var onRest: () -> Void
        package var onLost: (TargetError) -> Void
        /// Called when the node has taken bytes that had to wait.
        package var onRoom: () -> Void

        package init(
            onReply: @escaping (NodeReply, NodeExpectation, Int?) -> Void, onRest: @escaping () -> Void,
            onLost: @escaping (TargetError) -> Void, onRoom: @escaping () -> Void
        ) {
            (self.onReply, self.onRest, self.onLost, self.onRoom) = (onReply, onRest, onLost, onRoom)
        }
    }

    package let endpoint: Endpoint
    private let channel: Channel
    private let handlers: Handlers
    private var expected: [NodeExpectation] = []
    /// The index of the first outstanding entry of `expected`.
    private var head = 0
    /// The number of elements of an EXEC's array that have been read, and the number of all its elements.
    private var elements: (read: Int, count: Int)?
    private var replies = ByteBuffer(capacity: 16 << 10)
    private var lastError: String?
    private var isLost = false
    private var sent = ContinuousClock.now

    /// Takes over a connected, authenticated socket and begins to read.
    package init(_ socket: ConnectedSocket, endpoint: Endpoint, queue: DispatchQueue, _ handlers: Handlers) {
        self.endpoint = endpoint
        self.handlers = handlers
        channel = Channel(socket, peer: endpoint.description, queue: queue)
        channel.startWriting(progress: { [weak self] in self?.handlers.onRoom() }) { [weak self] error in
            // The node may have given a reason. A reset does not drop what arrived before it.
            self?.socketIsReadable()
            self?.lose(TargetError(error))
        }
        channel.startReading { [weak self] in self?.socketIsReadable() }
    }

    /// Whether no reply is outstanding.
    package var isIdle: Bool { head == expected.count }
    package var hasFailed: Bool { isLost }
    package var unwrittenBytes: Int { channel.unwrittenBytes }

    /// How long the node has owed a reply without a sign of life; zero if it owes none.
    package var silence: Duration {
        isIdle || isLost ? .zero : max(sent, channel.lastTraffic).duration(to: .now)
    }

    /// Writes what `body` appends. `body` also appends the expected replies.
    package func send(_ body: (inout ByteBuffer, inout [NodeExpectation]) -> Void) {
        if isIdle {
            sent = .now
            expected.removeAll(keepingCapacity: true)
            head = 0
            lastError = nil
        }
        channel.write { bytes in body(&bytes, &expected) }
    }

    /// Writes more of a request whose reply is already expected.
    package func append(_ bytes: UnsafeRawBufferPointer) { channel.write { $0.append(bytes) } }

    private func socketIsReadable() {
        guard !isLost else { return }
        do {
            while true {
                var result = Channel.ReadResult.wouldBlock
                try replies.appendUninitialized(minimum: 16 << 10) { (room) throws(ChannelError) in
                    result = try channel.read(into: room)
                    if case .bytes(let count) = result { return count }
                    return 0
                }
                if result == .wouldBlock { break }
                try readReplies()
                if isLost { return }
                if result == .endOfStream {
                    return lose(TargetError(.unreachable, "the target \(endpoint) closed the connection"))
                }
                // Other work on the queue gets its turn. The socket stays readable, so reading continues afterwards.
                if isIdle { break }
            }
        } catch {
            return lose(TargetError(error))
        }
        handlers.onRest()
    }

    private func readReplies() throws {
        // The replies are moved out of `self` meanwhile, so that they can be read while `self` changes.
        var received = ByteBuffer()
        swap(&received, &replies)
        var reader = ByteReader(received.bytes)
        try readReplies(&reader)
        let consumed = reader.offset
        received.removeFirst(consumed)
        swap(&received, &replies)
    }

    private func readReplies(_ reader: inout ByteReader) throws {
        while reader.remaining > 0, !isLost {
            guard head < expected.count else {
                guard case .error(let text)? = try reader.readReply(wantsValue: false) else {
                    if reader.remaining > 0, reader.peekUInt8() == UInt8(ascii: "-") { return }
                    throw TargetError(.protocolViolation, "the target \(endpoint) sent a reply that nothing asked for")
                }
                lastError = text
                continue
            }
            let expectation = expected[head]
            if let (read, count) = elements {
                guard let reply = try reader.readReply(wantsValue: false) else { return }
                elements = (read + 1, count)
                handlers.onReply(reply, expectation, read)
                if read + 1 == count { finishArray(expectation) }
                continue
            }
            if expectation.kind == .exec, reader.peekUInt8() == UInt8(ascii: "*") {
                guard let count = try reader.readReplyArrayHead() else {
                    guard try reader.scanReply() != nil else { return }
                    throw TargetError(.protocolViolation, "the target \(endpoint) dropped a transaction")
                }
                guard count == Int(expectation.replies) else {
                    throw TargetError(
                        .protocolViolation,
                        "the target \(endpoint) answered \(count) of \(expectation.replies) commands of a transaction")
                }
                elements = (0, count)
                continue
            }
            guard let reply = try reader.readReply(wantsValue: expectation.wantsValue) else { return }
            if case .error(let text) = reply { lastError = text } else if lastError != nil { lastError = nil }
            head += 1
            handlers.onReply(reply, expectation, nil)
        }
    }

    private func finishArray(_ expectation: NodeExpectation) {
        elements = nil
        head += 1
        let array = RESPReplyShape.array(elements: Int(expectation.replies), errors: 0)
        handlers.onReply(.outline(ReplyOutline(array)), expectation, nil)
    }

    /// The parts of which replies are outstanding.
    package var outstandingParts: Set<Int> { Set(expected[head...].lazy.compactMap(\.part).map { Int($0) }) }

    private func lose(_ error: TargetError) {
        guard !isLost else { return }
        isLost = true
        channel.close()
        handlers.onLost(error.code == .unreachable ? error.after(words: lastError) : error)
    }

    /// Sends FIN and closes. The fate of outstanding requests stays unknown.
    package func close() {
        isLost = true
        channel.close()
    }
}

extension ByteReader {
    /// - Returns: `nil`, without moving the cursor, if the reply has not arrived completely.
    fileprivate mutating func readReply(wantsValue: Bool) throws(WireError) -> NodeReply? {
        let start = offset
        if peekUInt8() == UInt8(ascii: "-") || wantsValue {
            guard let value = try readRESPValue() else { return nil }
            return value.errorText.map { .error($0) } ?? .value(value)
        }
        guard let shape = try scanReply() else { return nil }
        return .outline(ReplyOutline(shape, of: bytes.extracting(start..<offset)))
    }
}
