package import Dispatch
package import Link
import Wire

/// One connection to the target that carries transactions one after the other.
///
/// A batch that is refused as a whole is overtaken by those that were sent after it. Whether that may be is the owner's to
/// decide (`CommandBatch.isUnordered`): where not, it sends the next batch when the fate of the one before is known. Not
/// Sendable: it lives on its owner's queue.
package final class TransactionLink {
    private let channel: Channel
    private let onOutcome: (CommandBatch, BatchOutcome) -> Void
    private let onLost: (TargetError) -> Void
    private let onRoom: () -> Void
    /// What has been received, and not read yet.
    private var received = ByteBuffer(capacity: 64 << 10)
    private var replies = TransactionReplies()
    private var isLost = false
    /// An outcome has been reported since the socket became readable.
    private var hasReportedOutcome = false
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
            replies.begin()
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
        channel.expect(min(replies.leastBytes(of: batch) - received.count, Self.mostExpectedBytes))
    }

    /// Of a long answer some is read while the target goes on.
    private static let mostExpectedBytes = 8 << 10

    /// Reads what has come of an answer that is not as long as what is waited for: it is a sign of life, too.
    package func readArrived() { if !isLost { socketIsReadable() } }

    /// More has been appended to the batch that is being written.
    package func batchGrew() { channel.flush() }

    /// Bytes of the batch that the kernel has not taken.
    package var unwrittenBytes: Int { outgoing.unwrittenBytes }

    private func socketIsReadable() {
        guard !isLost else { return }
        defer { expectReplies() }
        hasReportedOutcome = false
        do {
            while true {
                var result = Channel.ReadResult.wouldBlock
                try received.appendUninitialized(minimum: 16 << 10) { (room) throws(ChannelError) in
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
                if isLost || hasReportedOutcome { return }
            }
        } catch {
            lose(TargetError(error))
        }
    }

    private func readReplies() throws {
        // The bytes leave `self` for the time, so that they can be read while `self` changes.
        var bytes = ByteBuffer()
        swap(&bytes, &received)
        var reader = ByteReader(bytes.bytes)
        try readReplies(&reader)
        let consumed = reader.offset
        bytes.removeFirst(consumed)
        swap(&bytes, &received)
    }

    private func readReplies(_ reader: inout ByteReader) throws {
        while reader.remaining > 0, !isLost {
            guard let batch else {
                guard try replies.readUnasked(&reader) else { return }
                continue
            }
            switch try replies.read(&reader, to: batch) {
            case .incomplete: return
            case .begun: roundTrips.answered(at: .now)
            case .ended(let outcome): finish(outcome)
            }
        }
    }

    private func finish(_ outcome: BatchOutcome) {
        guard let batch else { return }
        bytesInFlight = max(bytesInFlight - batch.bytes.count, 0)
        self.batch = followers.isEmpty ? nil : followers.removeFirst()
        if self.batch != nil { replies.begin() }
        hasReportedOutcome = true
        onOutcome(batch, outcome)
    }

    private func lose(_ error: TargetError) {
        guard !isLost else { return }
        isLost = true
        channel.close()
        onLost(error.code == .unreachable ? error.after(words: replies.lastError) : error)
    }

    /// Sends FIN and closes. A batch in flight keeps its unknown fate.
    package func close() {
        isLost = true
        channel.close()
    }
}
