import Base
import Glibc

/// One accepted connection: its socket, what came in, what is to go out, its faults and what was seen of it.
///
/// Owned by the event loop's thread; touched elsewhere only under the master's lock.
final class Connection {
    enum Flushed {
        /// Everything queued is with the kernel.
        case drained
        /// The kernel takes no more for now, or the connection is stalled.
        case blocked
        /// The peer is gone.
        case broken(Int32)
        /// The cut that was asked for is due.
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
    /// A write that waits for the end of CLIENT PAUSE.
    var heldRequest: Request?
    var isAuthenticated = false
    /// The database of an ordinary client.
    var database = 0
    /// The commands queued since MULTI.
    var transaction: [Request]?
    /// The session that the latest `capa dragonfly` of this connection made, or that this flow belongs to.
    var session: Session?
    var flow: Flow?
    var listeningPort: Int64 = 0
    /// What ROLE and INFO show in the place of an address; the peer's own when only a port was announced.
    var shownAddress = ""
    var capaCount = 0

    /// Replies are put off until this is over: a command that is never answered, or a frozen master.
    private(set) var output = OutputQueue()
    /// Bytes of the stream queued so far: where insertions count from.
    private(set) var streamBytesQueued = 0
    /// Bytes queued before the stream began.
    private var bytesBeforeStream = 0
    private var bytesQueued = 0
    var faults = Faults()
    var isStalled = false
    private var splitGenerator = SplitMix64(seed: 0)
    private(set) var isBlocked = false
    private var blockedSince: ContinuousClock.Instant?

    /// The client's FIN or RST has been seen: nothing more is read.
    var isReadingOver = false
    /// Close once the output is drained (QUIT, a broken request).
    var closesWhenDrained = false
    /// Both directions have ended; the kernel's view is watched until this long after.
    var watchedSince: ContinuousClock.Instant?

    init(id: Int, descriptor: Int32) {
        self.descriptor = descriptor
        observation = ConnectionObservation(id: id, peerPort: Sockets.peerPort(descriptor))
    }

    var id: Int { observation.id }

    var place: ConnectionPlace { flow.map { .flow($0.shard) } ?? .main }

    /// The name in violations: `flow 1 of SYNC3`.
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

    /// Writes what is queued, at most `budget` bytes of it, as the faults say.
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

    /// Nothing is sent or read until `isStalled` is taken back.
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

    /// Sends our FIN after what the kernel already has.
    func sendFIN() {
        guard !observation.sentFIN, !observation.isClosed, !faults.neverSendsFIN else { return }
        dropOutput()
        observation.sentFIN = true
        Sockets.finish(descriptor)
    }

    /// Closes the descriptor; what the peer has not acknowledged is noted.
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
