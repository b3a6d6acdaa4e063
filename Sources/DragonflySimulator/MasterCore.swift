import Base
import Glibc

/// The simulated master's state and what it does on events; no thread and no lock of its own.
///
/// Everything here is called under the lock of `EventLoop`: by its thread once a turn, and by `SimulatedMaster`.
/// `+Requests`, `+Sessions`, `+Journal` and `+Store` hold what requests change.
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
    /// Records have been sent that no command has left: the key space knows nothing of what they did, and is not to be read.
    var hasForeignRecords = false
    /// The server is a replica at present.
    var isReplica: Bool
    /// A data set is being loaded: clients and replicas are put off.
    var isLoading = false
    /// What commands do is not journalled: keys that come out of a file, or from a master of one's own.
    var isJournalSilent = false
    /// CLIENT PAUSE.
    var pause = ClientPause()
    /// Calls of each command, by name in lower case, as INFO commandstats has them.
    var calls: [String: Int] = [:]
    /// The transaction that the commands of a MULTI belong to.
    var sharedTransaction: UInt64?

    // What tests look at.
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

    /// The faults of a place; their cut goes to the first connection there.
    func takeFaults(_ place: ConnectionPlace) -> Faults {
        let taken = faults[place] ?? Faults()
        faults[place]?.cut = nil
        return taken
    }

    /// Everything that can be done now. `readable` holds ids of connections.
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

    /// What time alone brings: expiries, the built-in load, flows that have been full for too long.
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

    /// Executes the requests that have come in, unless the master's writers are blocked.
    private func serve(_ connection: Connection) {
        while !connection.observation.isClosed, !connection.closesWhenDrained {
            if connection.observation.role == .client, areWritersBlocked || isFrozen { return }
            // Answers come in the order of the requests, and STARTSTABLE's is still to come.
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

    /// Moves a connection's bytes to the kernel, and the next ones of its snapshot after them.
    private func pump(_ connection: Connection) {
        guard !connection.observation.isClosed, !connection.observation.sentFIN else { return }
        var budget = Self.writeBudget
        while budget > 0 {
            while connection.output.count < Self.lowWaterBytes, let flow = connection.flow, flow.pull() {}
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
        // What is left is seen by `canGoOn`.
        if let flow = connection.flow, connection.output.isEmpty { _ = flow.pull() }
    }

    private func cut(_ connection: Connection, _ kind: Faults.Cut.Kind) {
        switch kind {
        case .fin: connection.sendFIN()
        case .rst: connection.close(byReset: true)
        case .stall: connection.stall(now)
        }
    }

    // MARK: Ends

    /// The client's FIN or RST: a session's connection takes the whole session with it (Protocol 6.1).
    private func clientEnded(_ connection: Connection, _ end: ClientEnd) {
        connection.isReadingOver = true
        note(end, on: connection)
        serve(connection)
        if let session = connection.session {
            cancel(session)
            // The main connection is closed by the master only when it was the one that ended.
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

    /// Ends a session: its flows get FIN, its main connection stays an ordinary one.
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

    /// A connection whose client has ended is watched until the kernel is done with it: an RST after the FIN, and bytes
    /// that the client never read, are seen here.
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

    /// What is left of a process that dies: every connection closed, every session gone, another replication id.
    func restart() {
        for session in sessions { session.state = .cancelled }
        sessions = []
        for connection in connections { connection.close() }
        replicationID = generator.hex(40)
        calls = [:]
        for shard in journals.indices { journals[shard] = ShardJournal(capacity: options.backlogRecords) }
    }

    /// The client did what kills a real master.
    func crash(_ reason: String) {
        violations.append(reason)
        restart()
    }

    // MARK: Back-pressure

    /// No client is served while STARTSTABLE is being executed.
    var isFrozen: Bool { sessions.contains { $0.isStartingStable } }

    /// A stable flow holds more than the output limit.
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

    /// When the next turn is due without an event.
    var nextTurn: Duration? {
        if connections.contains(where: { canGoOn($0) }) { return .zero }
        if load != nil || pause.isInForce(at: now) { return .milliseconds(5) }
        if connections.contains(where: { $0.isReadingOver && !$0.observation.isClosed }) { return .milliseconds(5) }
        if store?.hasExpiries == true { return .milliseconds(20) }
        if connections.contains(where: { $0.isBlocked }) { return .milliseconds(20) }
        return nil
    }

    /// There is work for a connection that no event will announce.
    private func canGoOn(_ connection: Connection) -> Bool {
        guard !connection.observation.isClosed, !connection.observation.sentFIN, !connection.isStalled else {
            return false
        }
        return !connection.output.isEmpty && !connection.isBlocked
    }
}
