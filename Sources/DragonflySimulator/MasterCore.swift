import Base
import Glibc

/// The state of the simulated master and its reactions to events. It has no thread and no lock of its own.
///
/// Everything here is called under the lock of `EventLoop`: by its thread once a turn, and by `SimulatedMaster`. The
/// extensions `+Requests`, `+Sessions`, `+Journal` and `+Store` execute requests.
final class MasterCore {
    let options: MasterOptions
    let dataSet: DataSet
    var replicationID: String
    let lineageID: String
    var generator: SplitMix64

    var connections: [Connection] = []
    var sessions: [Session] = []
    var journals: [ShardJournal]
    var store: LiveStore?
    var load: LoadGenerator?
    var refusals: [Refusal] = []
    var faults: [ConnectionPlace: Faults] = [:]
    var nextTransaction: UInt64 = 1
    /// Records are journalled and not sent.
    var withholdsRecords = false
    /// Tests sent journal records that no command produced. The key space does not reflect them and must not be read.
    var hasForeignRecords = false
    /// The server is a replica at present.
    var isReplica: Bool
    /// A data set is being loaded; clients and replicas get LOADING.
    var isLoading = false
    /// Commands are not journaled, because the keys come from a file or from this server's own master.
    var isJournalSilent = false
    /// The state of CLIENT PAUSE.
    var pause = ClientPause()
    /// Calls of each command, by name in lower case, as INFO commandstats shows them.
    var calls: [String: Int] = [:]
    /// The transaction that the commands of a MULTI belong to.
    var sharedTransaction: UInt64?

    // Observations for tests.
    var violations: [String] = []
    var finished: [ConnectionObservation] = []
    var timedOutSessions = 0
    var sessionsStarted = 0
    var fullSyncs = 0
    private var endOrder = 0
    private var connectionCount = 0
    /// The longest time for which the master's clients were not served because a flow was full.
    private(set) var longestBlockedWriters = Duration.zero
    private var writersBlockedSince: ContinuousClock.Instant?

    /// The time of the current turn.
    var now = ContinuousClock.now

    private static let writeBudget = 4 << 20
    private static let lowWaterBytes = 256 << 10

    init(options: MasterOptions, dataSet: DataSet) {
        self.options = options
        self.dataSet = dataSet
        var generator = SplitMix64(seed: UInt64.random(in: 0...UInt64.max))
        lineageID = generator.hex(40)
        replicationID = options.replicationID ?? generator.hex(40)
        self.generator = generator
        isReplica = options.isReplica
        journals = Array(repeating: ShardJournal(capacity: options.backlogRecords), count: options.shardCount)
        loadDataSet()
    }

    // MARK: A turn of the loop

    func accept(_ descriptor: Int32) {
        if let bytes = options.sendBufferBytes { Sockets.set(descriptor, SOL_SOCKET, SO_SNDBUF, bytes) }
        connectionCount += 1
        let connection = Connection(id: connectionCount, descriptor: descriptor)
        connection.isAuthenticated = options.password == nil
        connection.use(takeFaults(.main))
        connections.append(connection)
    }

    /// Returns the faults of a place. Their cut applies only to the first connection there.
    func takeFaults(_ place: ConnectionPlace) -> Faults {
        let taken = faults[place] ?? Faults()
        faults[place]?.cut = nil
        return taken
    }

    /// Does everything that is possible without waiting. `readable` holds ids of connections.
    func turn(readable: Set<Int>) {
        now = .now
        for connection in connections where readable.contains(connection.id) { receive(connection) }
        tick()
        for connection in connections { serve(connection) }
        for connection in connections { pump(connection) }
        for session in sessions where session.isStartingStable { finishStartStable(session) }
        for connection in connections { watch(connection) }
        connections.removeAll { connection in
            guard connection.observation.isClosed else { return false }
            finished.append(connection.observation)
            return true
        }
    }

    /// Does the work that depends on time: expiries, generated writes, and the timeout of flows that have been full for
    /// too long.
    private func tick() {
        noteBlockedWriters()
        expireKeys()
        if !isFrozen, !areWritersBlocked, !pause.isInForce(at: now) { load?.run(self) }
        for connection in connections where connection.isBlocked {
            connection.noteBlockedTime(now)
            guard let session = connection.session, connection.flow != nil,
                connection.blockedTime(now) > options.replicationTimeout
            else { continue }
            timedOutSessions += 1
            cancel(session)
        }
    }

    private func receive(_ connection: Connection) {
        guard !connection.observation.isClosed, !connection.isReadingOver, !connection.isStalled else { return }
        for _ in 0..<16 {
            switch connection.receive() {
            case .input: continue
            case .nothing: return
            case .end(let end): return clientEnded(connection, end)
            }
        }
    }

    /// Executes the requests that have arrived, unless the master's writers are blocked.
    private func serve(_ connection: Connection) {
        while !connection.observation.isClosed, !connection.closesWhenDrained {
            if connection.observation.role == .client, areWritersBlocked || isFrozen { return }
            // Replies keep the order of the requests, and the reply to STARTSTABLE is pending.
            if let session = connection.session, session.isStartingStable, session.main === connection { return }
            guard let request = connection.heldRequest ?? connection.parser.next() else { break }
            connection.heldRequest = nil
            if pause.holds(request, of: connection, at: now) {
                connection.heldRequest = request
                return
            }
            let reply = execute(request, from: connection)
            if reply != .nothing { connection.queue(reply) }
        }
        if connection.parser.isBroken, !connection.closesWhenDrained {
            connection.queue(.error("ERR Protocol error"))
            connection.closesWhenDrained = true
        }
    }

    /// Writes a connection's output to the socket and refills it from the flow's snapshot.
    private func pump(_ connection: Connection) {
        guard !connection.observation.isClosed, !connection.observation.sentFIN else { return }
        var budget = Self.writeBudget
        while budget > 0 {
            while connection.output.count < Self.lowWaterBytes, let flow = connection.flow, flow.queueNextPiece() {}
            let before = connection.observation.bytesSent
            switch connection.flush(budget: budget, now: now) {
            case .drained:
                if connection.flow?.snapshot == nil || connection.observation.bytesSent == before {
                    if connection.closesWhenDrained { end(connection) }
                    return
                }
            case .blocked: return
            case .broken(let code): return writeFailed(connection, code)
            case .cut(let kind): return cut(connection, kind)
            }
            budget -= connection.observation.bytesSent - before
        }
        // Queues the next piece, so that `canGoOn` sees that there is more to send.
        if let flow = connection.flow, connection.output.isEmpty { _ = flow.queueNextPiece() }
    }

    private func cut(_ connection: Connection, _ kind: Faults.Cut.Kind) {
        switch kind {
        case .fin: connection.sendFIN()
        case .rst: connection.close(byReset: true)
        case .stall: connection.stall(now)
        }
    }

    // MARK: Ends

    /// Handles the client's FIN or RST. On a session's connection it ends the whole session (Protocol 6.1).
    private func clientEnded(_ connection: Connection, _ end: ClientEnd) {
        connection.isReadingOver = true
        note(end, on: connection)
        serve(connection)
        if let session = connection.session {
            cancel(session)
            // The master closes the main connection only if that is the one that ended.
            if connection === session.main { connection.sendFIN() }
        }
        if end == .rst { return connection.close() }
        if connection.observation.role == .client { connection.closesWhenDrained = true } else { connection.sendFIN() }
    }

    /// A write failed: with ECONNRESET the client sent RST, with EPIPE its FIN and then RST.
    private func writeFailed(_ connection: Connection, _ code: Int32) {
        if code == EPIPE, !connection.isReadingOver { note(.fin, on: connection) }
        note(.rst, on: connection)
        connection.isReadingOver = true
        if let session = connection.session { cancel(session) }
        connection.close()
    }

    private func note(_ end: ClientEnd, on connection: Connection) {
        connection.observation.note(end: end, order: &endOrder)
        guard end == .rst, connection.observation.role != .client else { return }
        violations.append(
            connection.observation.wasResetAfterFIN
                ? "RST after FIN on \(connection.label)" : "RST instead of FIN on \(connection.label)")
    }

    /// Ends a session: its flows get FIN; its main connection stays open as an ordinary one.
    func cancel(_ session: Session) {
        guard session.state != .cancelled else { return }
        session.state = .cancelled
        session.isStartingStable = false
        sessions.removeAll { $0 === session }
        for flow in session.flows {
            guard let flow else { continue }
            flow.phase = .idle
            flow.snapshot = nil
            flow.connection.session = nil
            flow.connection.sendFIN()
        }
        session.main.session = nil
    }

    private func end(_ connection: Connection) {
        if let session = connection.session { cancel(session) }
        connection.sendFIN()
        if connection.observation.role == .client { connection.close() }
    }

    /// Watches a connection that the client has ended until the kernel is done with it, to notice an RST after the FIN
    /// and bytes that the client never read.
    private func watch(_ connection: Connection) {
        guard connection.isReadingOver, !connection.observation.isClosed else { return }
        let unacknowledged = Sockets.unacknowledged(connection.descriptor)
        if Sockets.pendingError(connection.descriptor) != 0 {
            note(.rst, on: connection)
            return connection.close()
        }
        guard connection.observation.sentFIN else { return }
        connection.observation.undeliveredBytes = unacknowledged
        if Sockets.tcpState(connection.descriptor) == Sockets.closedState { return connection.close() }
        let since = connection.watchedSince ?? now
        connection.watchedSince = since
        if now - since > options.lingerLimit {
            // Our FIN counts as one byte.
            if unacknowledged > 1 { violations.append("half-closed and not read: \(connection.label)") }
            connection.close()
        }
    }

    /// Simulates the restart of the process: closes every connection, drops every session and the journals, and takes a
    /// new replication id.
    func restart() {
        for session in sessions { session.state = .cancelled }
        sessions = []
        for connection in connections { connection.close() }
        replicationID = generator.hex(40)
        calls = [:]
        for shard in journals.indices { journals[shard] = ShardJournal(capacity: options.backlogRecords) }
    }

    /// Records a client's action that would crash a real master, and restarts.
    func crash(_ reason: String) {
        violations.append(reason)
        restart()
    }

    // MARK: Back-pressure

    /// No client is served while STARTSTABLE is being executed.
    var isFrozen: Bool { sessions.contains { $0.isStartingStable } }

    /// The output of a stable flow has reached the limit.
    var areWritersBlocked: Bool {
        for session in sessions where session.state == .stable {
            for case let flow? in session.flows where flow.connection.output.count >= options.outputLimitBytes {
                return true
            }
        }
        return false
    }

    private func noteBlockedWriters() {
        guard areWritersBlocked else {
            writersBlockedSince = nil
            return
        }
        let since = writersBlockedSince ?? now
        writersBlockedSince = since
        longestBlockedWriters = max(longestBlockedWriters, now - since)
    }

    /// The time until the next turn if no event comes earlier; `nil` if the next turn needs an event.
    var nextTurn: Duration? {
        if connections.contains(where: { canGoOn($0) }) { return .zero }
        if load != nil || pause.isInForce(at: now) { return .milliseconds(5) }
        if connections.contains(where: { $0.isReadingOver && !$0.observation.isClosed }) { return .milliseconds(5) }
        if store?.hasExpiries == true { return .milliseconds(20) }
        if connections.contains(where: { $0.isBlocked }) { return .milliseconds(20) }
        return nil
    }

    /// Whether a connection has work that no event will announce.
    private func canGoOn(_ connection: Connection) -> Bool {
        guard !connection.observation.isClosed, !connection.observation.sentFIN, !connection.isStalled else {
            return false
        }
        return !connection.output.isEmpty && !connection.isBlocked
    }
}
