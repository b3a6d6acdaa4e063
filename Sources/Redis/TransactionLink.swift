package import Dispatch
package import Link
import Wire

/// One connection to the target that carries transactions one after the other.
///
/// A batch that is refused as a whole is overtaken by those that were sent after it. Whether that may be is the owner's to
/// decide (`CommandBatch.isUnordered`): where not, it sends the next batch when the fate of the one before is known. Not
/// Sendable: it lives on its owner's queue.
package final class TransactionLink {
    private enum Stage {
        case idle
        case multi
        case queued(Int)
        case exec
        case elements(Int, of: Int)
    }

    private let channel: Channel
    private let onOutcome: (CommandBatch, BatchOutcome) -> Void
    private let onLost: (TargetError) -> Void
    private let onRoom: () -> Void
    private var stage = Stage.idle
    private var replies = ByteBuffer(capacity: 64 << 10)
    private var unexpectedReplies: [UnexpectedReply] = []
    /// Why the target does not even take MULTI: what follows runs without a transaction.
    private var rejection: String?
    /// The last reply, if it was an error: the reason, should the target close now.
    private var lastError: String?
    private var isLost = false
    /// A batch's fate has been reported since the socket became readable.
    private var hasSettled = false
    /// The oldest batch whose fate is open.
    package private(set) var batch: CommandBatch?
    /// Those that were sent after it, the oldest first.
    private var followers: [CommandBatch] = []
    private let outgoing = OutgoingBatches()
    private var bytesInFlight = 0
    private var sent = ContinuousClock.now
    private var roundTrips = RoundTrips()

    /// Takes over a connected, authenticated socket and begins to read.
    ///
    /// - Parameters:
    ///   - roundTrip: how long the target took for an answer before, so that the first batches need not find out.
    ///   - onRoom: the target has taken bytes of the batch that had to wait.
    package init(
        socket: ConnectedSocket, peer: String, queue: DispatchQueue, roundTrip: Duration = .zero,
        onOutcome: @escaping (CommandBatch, BatchOutcome) -> Void, onLost: @escaping (TargetError) -> Void,
        onRoom: @escaping () -> Void
    ) {
        channel = Channel(socket, peer: peer, queue: queue)
        self.onOutcome = onOutcome
        self.onLost = onLost
        self.onRoom = onRoom
        let now = ContinuousClock.now
        roundTrips.asked(at: now - roundTrip)
        roundTrips.answered(at: now)
        // A call keeps the link alive, even if its owner lets go of it within.
        channel.startWriting(progress: { [weak self] in self?.onRoom() }) { [weak self] error in
            // The target may have said why; a reset does not drop what came before it.
            self?.socketIsReadable()
            self?.lose(TargetError(error))
        }
        channel.startReading { [weak self] in self?.socketIsReadable() }
    }

    package var isIdle: Bool { batch == nil && !isLost }
    package var hasFailed: Bool { isLost }

    /// How long the target has owed an answer without a sign of life; zero if it owes none.
    package var silence: Duration {
        guard let batch, !isLost, batch.isSealed || unwrittenBytes > 0 else { return .zero }
        return max(sent, channel.lastTraffic).duration(to: .now)
    }

    /// How large a batch is to be where the next one waits for its answer.
    package var batchBytes: Int { roundTrips.batchBytes }

    /// Bytes that may still be sent before an answer comes: so many that a target far away always has something to do.
    package var room: Int { isLost ? 0 : max(roundTrips.windowBytes - bytesInFlight, 0) }

    /// Sends a batch, which is sealed or is still being built.
    package func send(_ batch: CommandBatch) {
        sent = .now
        if self.batch == nil {
            self.batch = batch
            begin()
            roundTrips.asked(at: sent)
        } else {
            precondition(
                batch.isSealed && (followers.last ?? self.batch)?.isSealed == true, "what grows goes by itself")
            followers.append(batch)
        }
        bytesInFlight += batch.isSealed ? batch.bytes.count : 0
        batch.beginWriting()
        outgoing.append(batch)
        channel.write(outgoing)
        expectReplies()
    }

    /// Waits for what the oldest batch is answered at least, since a server sends replies as it reads commands.
    private func expectReplies() {
        guard let batch, batch.isSealed, !roundTrips.isMeasuring, !isLost else { return channel.expect(1) }
        let count = batch.commandCount
        let left =
            switch stage {
            case .idle: 0
            case .multi: LeastReply.ok + count * LeastReply.queued + LeastReply.exec(count)
            case .queued(let number): (count - number) * LeastReply.queued + LeastReply.exec(count)
            case .exec: LeastReply.exec(count)
            case .elements(let number, let count): (count - number) * LeastReply.element
            }
        channel.expect(min(left - replies.count, Self.mostExpectedBytes))
    }

    /// Of a long answer some is read while the target goes on.
    private static let mostExpectedBytes = 8 << 10

    /// Bytes of the shortest reply there is in its place; an error is no shorter.
    private enum LeastReply {
        /// `+OK`
        static let ok = 5
        /// `+QUEUED`
        static let queued = 9
        /// `:0`
        static let element = 4
        /// An error, where nothing was applied, or `*`, the number of elements, and those: a transaction that is refused
        /// has no array.
        static func exec(_ count: Int) -> Int { min(4 + count * element, 12) }
    }

    /// Reads what has come of an answer that is not as long as what is waited for: it is a sign of life, too.
    package func readArrived() { if !isLost { socketIsReadable() } }

    /// What is received next is about another batch.
    private func begin() {
        stage = .multi
        unexpectedReplies = []
        rejection = nil
        lastError = nil
    }

    /// More has been appended to the batch that is being written.
    package func batchGrew() { channel.flush() }

    /// Bytes of the batch that the kernel has not taken.
    package var unwrittenBytes: Int { outgoing.unwrittenBytes }

    private func socketIsReadable() {
        guard !isLost else { return }
        defer { expectReplies() }
        hasSettled = false
        do {
            while true {
                var result = Channel.ReadResult.wouldBlock
                try replies.appendUninitialized(minimum: 16 << 10) { (room) throws(ChannelError) in
                    result = try channel.read(into: room)
                    if case .bytes(let count) = result { return count }
                    return 0
                }
                if result == .wouldBlock { break }
                if result == .endOfStream {
                    try readReplies()
                    return lose(TargetError(.unreachable, "the target \(channel.peer) closed the connection"))
                }
                try readReplies()
                // The callback may have closed the link, or sent the next batch: return, so that other work on the queue
                // runs. What is left is read at the next turn.
                if isLost || hasSettled { return }
            }
        } catch {
            lose(TargetError(error))
        }
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
            let start = reader.offset
            guard let batch else {
                guard let shape = try reader.scanReply() else { return }
                guard shape == .error else {
                    throw TargetError(.protocolViolation, "the target sent a reply that nothing asked for")
                }
                _ = noteError(in: reader.bytes, from: start)
                continue
            }
            switch stage {
            case .idle: return
            case .multi:
                guard let shape = try reader.scanReply() else { return }
                roundTrips.answered(at: .now)
                if shape == .error { rejection = noteError(in: reader.bytes, from: start) }
                stage = .queued(0)
            case .queued(let number) where number < batch.commandCount:
                let plain = reader.skipPlainReplies(atMost: batch.commandCount - number)
                if plain > 0 {
                    if lastError != nil { lastError = nil }
                    stage = .queued(number + plain)
                    continue
                }
                guard let shape = try reader.scanReply() else { return }
                if shape == .error {
                    note(number, noteError(in: reader.bytes, from: start))
                } else if lastError != nil {
                    lastError = nil
                }
                stage = .queued(number + 1)
            case .queued:
                guard batch.isSealed else {
                    // A command that is still being written: the target has given it up.
                    guard let shape = try reader.scanReply() else { return }
                    if shape == .error {
                        _ = noteError(in: reader.bytes, from: start)
                        continue
                    }
                    throw TargetError(.protocolViolation, "the target sent a reply that nothing asked for")
                }
                stage = .exec
            case .exec:
                if reader.peekUInt8() == UInt8(ascii: "*") {
                    guard let count = try reader.readReplyArrayHead() else {
                        guard try reader.scanReply() != nil else { return }
                        throw TargetError(.protocolViolation, "the target dropped a transaction")
                    }
                    guard count == batch.commandCount else {
                        throw TargetError(
                            .protocolViolation,
                            "the target answered \(count) of \(batch.commandCount) commands of a transaction")
                    }
                    stage = count == 0 ? .idle : .elements(0, of: count)
                    if count == 0 { finish(.applied([])) }
                } else {
                    guard let shape = try reader.scanReply() else { return }
                    guard shape == .error else {
                        throw TargetError(.protocolViolation, "EXEC was not answered by an array")
                    }
                    if unexpectedReplies.isEmpty || rejection != nil {
                        finish(.rejected(rejection ?? errorText(in: reader.bytes, from: start)))
                    } else {
                        finish(.refused(unexpectedReplies))
                    }
                }
            case .elements(let number, let count):
                let plain = reader.skipPlainReplies(atMost: count - number)
                if plain > 0 {
                    stage = .elements(number + plain, of: count)
                    if number + plain == count { finish(.applied(unexpectedReplies)) }
                    continue
                }
                guard let shape = try reader.scanReply() else { return }
                switch shape {
                case .error: note(number, errorText(in: reader.bytes, from: start))
                case .null where batch.reportsConflicts: unexpectedReplies.append(.init(command: number, kind: .null))
                case .integer
                where reader.bytes[start + 1] == UInt8(ascii: "0")
                    && (batch.reportsConflicts || batch.isEffective(number)):
                    unexpectedReplies.append(.init(command: number, kind: .zero))
                case .array(elements: 0, _) where batch.reportsEmptyReplies:
                    unexpectedReplies.append(.init(command: number, kind: .empty))
                default: break
                }
                if number + 1 == count {
                    finish(.applied(unexpectedReplies))
                } else {
                    stage = .elements(number + 1, of: count)
                }
            }
        }
    }

    private func note(_ command: Int, _ text: String) {
        unexpectedReplies.append(.init(command: command, kind: .error(text)))
    }

    private func noteError(in bytes: RawSpan, from start: Int) -> String {
        let text = errorText(in: bytes, from: start)
        lastError = text
        return text
    }

    private func errorText(in bytes: RawSpan, from start: Int) -> String {
        var reader = ByteReader(bytes, offset: start)
        return (try? reader.readRESPValue())?.errorText ?? "an error"
    }

    private func finish(_ outcome: BatchOutcome) {
        guard let batch else { return }
        bytesInFlight = max(bytesInFlight - batch.bytes.count, 0)
        self.batch = followers.isEmpty ? nil : followers.removeFirst()
        if self.batch == nil { stage = .idle } else { begin() }
        hasSettled = true
        onOutcome(batch, outcome)
    }

    private func lose(_ error: TargetError) {
        guard !isLost else { return }
        isLost = true
        channel.close()
        onLost(error.code == .unreachable ? error.after(words: lastError) : error)
    }

    /// Sends FIN and closes. A batch in flight keeps its unknown fate.
    package func close() {
        isLost = true
        channel.close()
    }
}
