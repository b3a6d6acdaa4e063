/// One replication attempt: made by `capa dragonfly`, named `SYNC<n>`, gone when any of its connections ends.
final class Session {
    enum State: String {
        case preparation, fullSync = "full_sync", stable = "online", cancelled
    }

    let number: Int
    var state = State.preparation
    let main: Connection
    var flows: [Flow?]
    let listeningPort: Int64
    let shownAddress: String
    var clientVersion: Int64?
    var clientID: String?
    /// STARTSTABLE is being executed: `+OK` waits until every flow's end of the full sync is with the kernel.
    var isStartingStable = false

    init(number: Int, main: Connection, shardCount: Int) {
        self.number = number
        self.main = main
        listeningPort = main.listeningPort
        shownAddress = main.shownAddress
        flows = Array(repeating: nil, count: shardCount)
    }

    var name: String { "SYNC\(number)" }
    var hasAllFlows: Bool { flows.allSatisfy { $0 != nil } }
    var hasPartialFlow: Bool { flows.contains { $0?.start != nil } }
    var isAllPartial: Bool { flows.allSatisfy { $0?.start != nil } }
}

/// One flow of a session, on its connection.
final class Flow {
    enum Phase {
        /// Registered; silent until the phase starts.
        case idle
        case fullSync
        case stable
    }

    let shard: Int
    let connection: Connection
    /// The LSN that a PARTIAL flow goes on from; `nil`: FULL.
    let start: UInt64?
    let token: String
    var phase = Phase.idle
    var snapshot: (any SnapshotSource)?
    /// STARTSTABLE came before the snapshot's end: the rest of it comes first.
    var endsWhenSnapshotDoes = false
    /// The connection's stream bytes at FULLSYNC_END's end.
    var endOffset: Int?
    /// The connection's stream bytes at the EOF token's end.
    var tailOffset: Int?
    /// The lowest LSN that may be acknowledged.
    var firstLSN: UInt64 = 0
    var lastAcknowledged: UInt64?
    private var lastLSNRecord: ContinuousClock.Instant?

    init(shard: Int, connection: Connection, start: UInt64?, token: String) {
        self.shard = shard
        self.connection = connection
        self.start = start
        self.token = token
    }

    /// Asks the snapshot for the next piece. `false`: there is none for now.
    func pull() -> Bool {
        guard phase == .fullSync, let snapshot, let piece = snapshot.next() else { return false }
        connection.queue(piece)
        if snapshot.hasEnded, endOffset == nil { endOffset = connection.streamBytesQueued }
        return true
    }

    /// FULLSYNC_END has been written to the socket.
    var hasWrittenEnd: Bool { endOffset.map { connection.observation.streamBytesSent >= $0 } ?? false }

    /// The EOF token has been written to the socket.
    var hasWrittenTail: Bool { tailOffset.map { connection.observation.streamBytesSent >= $0 } ?? false }

    /// Queues a record of the shard's journal in the form of the phase.
    ///
    /// - Parameter lsnInterval: an LSN record follows when none was sent for so long; the first record is followed by one.
    func write(record: [UInt8], lsn: UInt64, keys: [DatabaseKey], now: ContinuousClock.Instant, lsnInterval: Duration) {
        switch phase {
        case .idle: break
        case .fullSync: snapshot?.write(record: record, keys: keys)
        case .stable:
            if let lastLSNRecord, now - lastLSNRecord <= lsnInterval { return connection.queue(record) }
            lastLSNRecord = now
            var writer = PieceWriter(bytes: record)
            writer.byte(15)
            writer.packed(lsn)
            connection.queue(writer.bytes)
        }
    }
}
