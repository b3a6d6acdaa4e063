import Dragonfly
import Redis
import Wire

/// What a flow's bytes mean for the target: the decoder's sink, which fills batches with commands.
///
/// Lives on its applier's queue.
final class FlowEncoder: FlowSink {
    /// Why decoding must not go on before somebody acts.
    enum Halt {
        /// Every flow meets before and after this command.
        case global(GlobalCommand, transactionID: UInt64)
        /// The source was emptied during the snapshot: begin again.
        case restart(GlobalCommand)
        /// The target is to be asked for keys (`ConflictGuard`).
        case questions
        case failure(ReplicationError)
    }

    /// A batch of so many bytes is sent; also the size at which decoding waits for the batch before.
    static let batchBytes = 256 << 10

    let flow: FlowID
    private(set) var batch: CommandBatch
    let reserved: ReservedKeys
    var halt: Halt?
    var isStable: Bool
    var hasCompletedSnapshot: Bool
    /// The LSN of the next record; 0 until the flow has told it.
    var nextLSN: UInt64
    var masterVersion: String?
    /// Unix time in milliseconds at which what is being decoded arrived, by the source's clock: the times of the stream
    /// are the source's.
    var arrivedAt: Int64 = 0
    /// The same of the oldest of it.
    private var oldestArrival: Int64 = 0
    /// TTLs of elements that the target cannot keep; `nil`: nobody does.
    let book: ElementExpiryBook?
    /// Records before it may have been written long before they arrived.
    var catchesUpUntil: UInt64 = 0
    /// A batch holds one sweep of a kind at most.
    private var hasSwept = false
    /// The last sweep has left some.
    var wantsSweep = false
    private(set) lazy var printableDueKey: String = {
        let key = book?.expiry.dueKey ?? []
        return printableKey(key.span.bytes)
    }()
    /// Keeps the target from expiring what the stream has not expired; `nil`: deadlines are written as they come.
    var expiry: ExpiryGuard? { didSet { rewriter.deadlines = expiry } }

    let context: FlowContext
    let profile: TargetProfile
    var rewriter: JournalRewriter
    private(set) var selectedDatabase: UInt32?
    var scratch = ByteBuffer()
    /// While a full sync reconciles: what it has brought.
    var synced: SyncedKeys?
    /// While a full sync must not touch the target's own keys.
    var conflicts: ConflictGuard?
    /// During a full sync: which databases are prepared.
    var gate: DatabaseGate?
    /// Databases that this flow has written to.
    private(set) var databases: Set<UInt32> = []
    var expiredKeys = 0
    var conflictingKeys = 0
    var writers: [ChunkStreamID: ValueWriter] = [:]
    var uncertainMoves = UncertainMoves()
    var ownership: KeyOwnership
    var unjudged: [UnjudgedString] = []

    /// - Parameter nextLSN: where a continued flow begins; `nil` for a full sync.
    init(flow: FlowID, context: FlowContext, profile: TargetProfile, nextLSN: LSN?) {
        self.flow = flow
        self.context = context
        self.profile = profile
        rewriter = JournalRewriter(
            profile: profile, source: context.session.behaviour,
            expiryMargin: context.expiryMarginMilliseconds)
        book = context.policy.elementExpiry == .timer ? ElementExpiryBook(flow, context, profile) : nil
        rewriter.elementExpiry = book?.expiry
        self.nextLSN = nextLSN?.value ?? 0
        reserved = ReservedKeys(
            checkpoint: context.checkpointKey.name, isInCluster: context.connector.cluster != nil)
        ownership = KeyOwnership(flow: flow, flowCount: context.flowCount)
        isStable = nextLSN != nil
        hasCompletedSnapshot = nextLSN != nil
        batch = CommandBatch()
        batch.reportsConflicts = context.policy.onConflict != .overwrite && !isStable
        if isStable { batch.beginJournal() }
    }

    var isPaused: Bool { halt != nil || gate?.isClosed == true || isBatchFull }

    /// The batch is to be sent before more is decoded.
    var isBatchFull: Bool {
        batch.bytes.count >= Self.batchBytes || (!batch.isInCommand && batch.commandCount >= context.batchCommands)
            // A cluster's node gets a long command by itself.
            || (context.cluster != nil && batch.hugeCommand != nil && !batch.isInCommand)
    }

    /// Hands over the batch and begins the next one, which selects its database anew: a batch may be sent on a new
    /// connection.
    func takeBatch() -> CommandBatch {
        defer {
            batch = CommandBatch()
            batch.reportsConflicts = context.policy.onConflict != .overwrite && !isStable
            if isStable { batch.beginJournal() }
            selectedDatabase = nil
            hasSwept = false
        }
        return batch
    }

    /// What is decoded next arrived between `oldest` and `newest`, by our clock.
    func arrived(at newest: Int64, oldest: Int64) {
        (arrivedAt, oldestArrival) = (newest + context.clockSkew, oldest + context.clockSkew)
        rewriter.oldestArrival = oldestArrival
        // The stream is to have most of the batch.
        adjustDeadlines(oldestArrival: oldest, limit: Self.batchBytes / 4)
    }

    /// Brings the target's deadlines in line with the lag; `oldestArrival` is `nil` when nothing waits to be decoded.
    func adjustDeadlines(oldestArrival: Int64?, limit: Int = batchBytes) {
        guard let expiry, !batch.isInCommand, halt == nil else { return }
        expiry.look(oldestArrival: oldestArrival)
        let count = batch.commandCount
        expiry.work(on: batch, limit: limit) { select($0) }
        batch.noteOutsideStream(from: count)
    }

    /// Ends the batch's commands in database 0, where the checkpoint stands.
    func prepareForCheckpoint() {
        if selectedDatabase != 0 { appendSelect(0) }
    }

    /// When the source did what is being decoded.
    var moment: ElementExpiry.Moment {
        let earliest = nextLSN < catchesUpUntil ? 0 : oldestArrival - ElementExpiry.transitMilliseconds
        return ElementExpiry.Moment(earliest: min(earliest, arrivedAt), latest: arrivedAt)
    }

    /// Removes elements whose TTLs have passed, when what is decoded comes up to `time`.
    func sweepElements(until time: Int64) {
        guard let book, !book.isEmpty, isStable, !isPaused, !hasSwept, !batch.isInCommand, nextLSN >= catchesUpUntil
        else { return }
        hasSwept = true
        let count = batch.commandCount
        book.sweep(until: time, into: batch) { select($0) }
        batch.noteOutsideStream(from: count)
    }

    /// The global command has been applied to the target.
    func resumeAfterGlobal() {
        halt = nil
        countRecord()
    }

    func fail(_ code: ReplicationError.Code, _ message: String) {
        fail(ReplicationError(code, flow: flow, message))
    }

    func fail(_ error: ReplicationError) {
        if case .failure = halt { return }
        halt = .failure(error)
    }

    /// - Returns: `false` when the target has no such database.
    @discardableResult
    func select(_ database: UInt32) -> Bool {
        guard database != selectedDatabase else { return true }
        guard touch(database) else { return false }
        appendSelect(database)
        return true
    }

    private func appendSelect(_ database: UInt32) {
        batch.command(2)
        batch.bytes.appendBulk("SELECT")
        batch.bytes.appendBulk(decimal: Int64(database))
        selectedDatabase = database
    }

    /// The batch is going to write to `database`.
    func touch(_ database: UInt32) -> Bool {
        guard context.keeps(database) else { return false }
        if databases.insert(database).inserted { gate?.touch(database) }
        return true
    }
}
