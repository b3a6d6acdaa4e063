import Base
import Glibc

/// One accepted connection: its socket, input, queued output, faults and observations.
///
/// Owned by the event loop's thread; accessed from other threads only under the master's lock.
final class Connection {
    enum Flushed {
        /// The kernel has taken everything that was queued.
        case drained
        /// Output is left: the kernel takes no more for now, the budget is used up, or the connection is stalled.
        case blocked
        /// The write failed with this `errno`: the peer is gone.
        case broken(Int32)
        /// The cut that the faults ask for is due.
        case cut(Faults.Cut.Kind)
    }

    enum Received {
        case input
        case nothing
        case end(ClientEnd)
    }

    let descriptor: Int32
    var observation: ConnectionObservation
    var parser = RequestParser()
    /// A request that waits for the end of CLIENT PAUSE.
    var heldRequest: Request?
    var isAuthenticated = false
    /// The database of an ordinary client.
    var database = 0
    /// The commands queued since MULTI.
    var transaction: [Request]?
    /// The session that this connection opened with its latest `capa dragonfly`, or to which its flow belongs.
    var session: Session?
    var flow: Flow?
    var listeningPort: Int64 = 0
    /// The address that ROLE and INFO show; 127.0.0.1 if the replica announced only a port.
    var announcedAddress = ""
    var capaCount = 0

    /// The bytes that wait to be written to the socket.
    private(set) var output = OutputQueue()
    /// Bytes of the stream queued so far. The offsets of `Faults.insertions` count from the stream's first byte.
    private(set) var streamBytesQueued = 0
    /// Bytes queued before the stream began.
    private var bytesBeforeStream = 0
    private var bytesQueued = 0
    var faults = Faults()
    var isStalled = false
    private var splitGenerator = SplitMix64(seed: 0)
    private(set) var isBlocked = false
    private var blockedSince: ContinuousClock.Instant?

    /// The client's FIN or RST has been seen; nothing more is read.
    var isReadingOver = false
    /// The connection closes once its output is drained (after QUIT or a malformed request).
    var closesWhenDrained = false
    /// When both directions were first seen to have ended; the socket is watched for `lingerLimit` from then on.
    var watchedSince: ContinuousClock.Instant?

    init(id: Int, descriptor: Int32) {
        self.descriptor = descriptor
        observation = ConnectionObservation(id: id, peerPort: Sockets.peerPort(descriptor))
    }

    var id: Int { observation.id }

    var place: ConnectionPlace { flow.map { .flow($0.shard) } ?? .main }

    /// The connection's name in violations, such as `flow 1 of SYNC3`.
    var label: String {
        switch observation.role {
        case .client: "client \(id)"
        case .main(let session): "main of SYNC\(session)"
        case .flow(let session, let shard): "flow \(shard) of SYNC\(session)"
        }
    }

    // MARK: Writing

    func use(_ faults: Faults) {
        self.faults = faults
        if case .random(let seed, _) = faults.split { splitGenerator = SplitMix64(seed: seed) }
    }

    /// From here on the connection carries a flow's stream.
    func beginStream() {
        bytesBeforeStream = bytesQueued
        streamBytesQueued = 0
    }

    func queue(_ reply: Reply) {
        var bytes: [UInt8] = []
        reply.encode(into: &bytes)
        queue(bytes)
    }

    func queue(_ bytes: [UInt8]) {
        guard !observation.sentFIN, !observation.isClosed else { return }
        let start = streamBytesQueued
        streamBytesQueued += bytes.count
        guard faults.insertions.contains(where: { $0.key >= start && $0.key < start + bytes.count }) else {
            return push(bytes)
        }
        var from = 0
        for (offset, insertion) in faults.insertions.sorted(by: { $0.key < $1.key })
        where offset >= start && offset < start + bytes.count {
            push(Array(bytes[from..<(offset - start)]))
            push(insertion)
            from = offset - start
        }
        push(Array(bytes[from...]))
    }

    private func push(_ bytes: [UInt8]) {
        bytesQueued += bytes.count
        output.append(bytes)
    }

    func dropOutput() { output.removeAll() }

    /// Writes at most `budget` bytes of the queue, with the splits and the cut that the faults ask for.
    func flush(budget: Int, now: ContinuousClock.Instant) -> Flushed {
        var budget = budget
        while !output.isEmpty, budget > 0 {
            if isStalled { return block(now) }
            var limit = min(budget, 1 << 20)
            if let cut = faults.cut {
                let left = bytesBeforeStream + cut.afterBytes - observation.bytesSent
                if left <= 0 { return takeCut(cut.kind) }
                limit = min(limit, left)
            }
            switch faults.split {
            case .every(let bytes): limit = min(limit, max(1, bytes))
            case .random(_, let upTo): limit = min(limit, Int.random(in: 1...max(1, upTo), using: &splitGenerator))
            case nil: break
            }
            var outcome = Sockets.Transfer.wouldBlock
            output.withFirst(limit: limit) { bytes in
                outcome = Sockets.send(descriptor, bytes)
                if case .moved(let count) = outcome { return count }
                return 0
            }
            switch outcome {
            case .moved(let count):
                observation.bytesSent += count
                observation.streamBytesSent = max(0, observation.bytesSent - bytesBeforeStream)
                budget -= count
                unblock(now)
            case .wouldBlock, .end: return block(now)
            case .failed(let code): return .broken(code)
            }
        }
        if let cut = faults.cut, observation.bytesSent >= bytesBeforeStream + cut.afterBytes, output.isEmpty {
            return takeCut(cut.kind)
        }
        return output.isEmpty ? .drained : .blocked
    }

    /// Stops sending and reading until `isStalled` is cleared.
    func stall(_ now: ContinuousClock.Instant) {
        isStalled = true
        if !output.isEmpty { _ = block(now) }
    }

    private func takeCut(_ kind: Faults.Cut.Kind) -> Flushed {
        faults.cut = nil
        return .cut(kind)
    }

    private func block(_ now: ContinuousClock.Instant) -> Flushed {
        isBlocked = true
        if blockedSince == nil { blockedSince = now }
        noteBlockedTime(now)
        return .blocked
    }

    private func unblock(_ now: ContinuousClock.Instant) {
        noteBlockedTime(now)
        isBlocked = false
        blockedSince = nil
    }

    /// How long the current write has been waiting.
    func blockedTime(_ now: ContinuousClock.Instant) -> Duration { blockedSince.map { now - $0 } ?? .zero }

    func noteBlockedTime(_ now: ContinuousClock.Instant) {
        observation.longestBlockedWrite = max(observation.longestBlockedWrite, blockedTime(now))
    }

    // MARK: Reading

    func receive() -> Received {
        withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { memory in
            switch Sockets.receive(descriptor, into: memory) {
            case .moved(let count):
                observation.bytesReceived += count
                parser.append(UnsafeRawBufferPointer(rebasing: memory[..<count]))
                return .input
            case .wouldBlock: return .nothing
            case .end: return .end(.fin)
            case .failed: return .end(.rst)
            }
        }
    }

    // MARK: The end

    /// Sends FIN after the bytes that the kernel already has, and drops the rest of the output.
    func sendFIN() {
        guard !observation.sentFIN, !observation.isClosed, !faults.neverSendsFIN else { return }
        dropOutput()
        observation.sentFIN = true
        Sockets.finish(descriptor)
    }

    /// Closes the descriptor and notes how many bytes the peer has not acknowledged.
    func close(byReset: Bool = false) {
        guard !observation.isClosed else { return }
        observation.isClosed = true
        observation.undeliveredBytes = max(observation.undeliveredBytes, Sockets.unacknowledged(descriptor))
        output.removeAll()
        if byReset { Sockets.reset(descriptor) } else { Glibc.close(descriptor) }
        session = nil
        flow = nil
    }
}
