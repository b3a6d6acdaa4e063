/// One replication session: `capa dragonfly` opens it, its name is `SYNC<n>`, and the end of any of its connections
/// ends it.
final class Session {
    enum State: String {
        case preparation, fullSync = "full_sync", stable = "online", cancelled
    }

    let number: Int
    var state = State.preparation
    let main: Connection
    var flows: [Flow?]
    let listeningPort: Int64
    let announcedAddress: String
    var clientVersion: Int64?
    var clientID: String?
    /// STARTSTABLE is being executed; `+OK` waits until the kernel has the end of every flow's full sync.
    var isStartingStable = false

    init(number: Int, main: Connection, shardCount: Int) {
        self.number = number
        self.main = main
        listeningPort = main.listeningPort
        announcedAddress = main.announcedAddress
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
    /// The LSN from which a PARTIAL flow continues; `nil` for FULL.
    let start: UInt64?
    let token: String
    var phase = Phase.idle
    var snapshot: (any SnapshotSource)?
    /// STARTSTABLE has come: the flow ends its full sync as soon as the snapshot has ended.
    var becomesStableAfterSnapshot = false
    /// The stream offset after FULLSYNC_END; `nil` until it is queued.
    var endOffset: Int?
    /// The stream offset after the EOF token; `nil` until it is queued.
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

    /// Queues the next piece of the snapshot; `false` if there is none for now.
    func queueNextPiece() -> Bool {
        guard phase == .fullSync, let snapshot, let piece = snapshot.next() else { return false }
        connection.queue(piece)
        if snapshot.hasEnded, endOffset == nil { endOffset = connection.streamBytesQueued }
        return true
    }

    /// FULLSYNC_END has been written to the socket.
    var hasWrittenEnd: Bool { endOffset.map { connection.observation.streamBytesSent >= $0 } ?? false }

    /// The EOF token has been written to the socket.
    var hasWrittenTail: Bool { tailOffset.map { connection.observation.streamBytesSent >= $0 } ?? false }

    /// Queues a record of the shard's journal in the form that the phase requires.
    ///
    /// - Parameter lsnInterval: an LSN record follows if the last one is older than this; it always follows the first
    ///   record.
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
