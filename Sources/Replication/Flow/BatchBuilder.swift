import Dragonfly
import Redis
import Wire

/// Makes one batch after the other, each of which selects its databases anew: it may be sent on a new connection.
///
/// Lives on its flow's queue.
final class BatchBuilder {
    /// A batch of so many bytes is sent; also the size at which decoding waits for the batch before.
    static let batchBytes = 256 << 10
    /// The same for batches that go one at a time: more, where the target is far away.
    var orderedBatchBytes = batchBytes

    private(set) var batch = CommandBatch()
    /// Batches of the past whose memory is used again.
    private var spare: [CommandBatch] = []
    private(set) var selectedDatabase: UInt32?
    /// Databases that this flow has written to.
    private(set) var databases: Set<UInt32> = []
    /// Which databases are prepared; `nil`: none has to be.
    var gate: DatabaseGate?
    /// What is written is of the journal, not of the snapshot.
    private(set) var isJournal: Bool

    private let keepsDatabase: (UInt32) -> Bool
    private let isForCluster: Bool
    /// Consecutive plain strings are one command.
    private var joinsStrings: Bool
    private let batchCommands: Int
    /// What the snapshot writes replaces what the target has.
    let isOverwriting: Bool

    init(_ context: FlowContext, isJournal: Bool, openDatabases: Set<UInt32>? = nil) {
        keepsDatabase = { context.keeps($0) }
        isForCluster = context.cluster != nil
        // A run would have to be of one slot.
        joinsStrings = context.cluster == nil
        batchCommands = context.batchCommands
        isOverwriting = context.policy.onConflict == .overwrite
        self.isJournal = isJournal
        gate = openDatabases.map { DatabaseGate(open: $0) }
        beginBatch()
    }

    /// The batch is to be sent before more is decoded.
    var isFull: Bool {
        let batch = batch
        let count = batch.byteCount
        if count >= Self.batchBytes, count >= orderedBatchBytes || batch.isUnordered { return true }
        guard batchCommands < .max || isForCluster, !batch.isInCommand else { return false }
        // A cluster's node gets a long command by itself.
        return batch.operationCount >= batchCommands || (isForCluster && batch.hugeCommand != nil)
    }

    /// Nothing may be written before the session has prepared a database.
    var isGateClosed: Bool { gate?.isClosed == true }

    func beginJournal() {
        isJournal = true
        batch.beginJournal()
    }

    /// Hands over the batch and begins the next one.
    func takeBatch() -> CommandBatch {
        defer {
            batch = spare.popLast().map { CommandBatch(inMemoryOf: $0) } ?? CommandBatch()
            selectedDatabase = nil
            beginBatch()
        }
        return batch
    }

    /// How many batches wait to be used again, and how large they may be: each flow has some.
    private static let (spareBatches, spareBytes) = (1, 1 << 20)

    /// The batch is applied, and nobody asks for its commands any more.
    func reuse(_ batch: CommandBatch) {
        if spare.count < Self.spareBatches, batch.memoryBytes <= Self.spareBytes { spare.append(batch) }
    }

    private func beginBatch() {
        batch.reportsConflicts = !isOverwriting && !isJournal
        batch.joinsStrings = joinsStrings
        if isJournal { batch.beginJournal() }
    }

    /// Batches from the next one on have a command of its own for each string.
    ///
    /// - Returns: `false` when they had that already.
    func writeSingleStrings() -> Bool {
        defer { (joinsStrings, batch.joinsStrings) = (false, false) }
        return joinsStrings
    }

    /// Ends the batch's commands in database 0, where the checkpoint is.
    func prepareForCheckpoint() {
        if selectedDatabase != 0 { appendSelect(0) }
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
        batch.append("SELECT", Int64(database))
        // Each batch selects its databases itself.
        batch.noteUnordered()
        selectedDatabase = database
    }

    /// The batch is going to write to `database`.
    ///
    /// - Returns: `false` when the target has no such database.
    @discardableResult
    func touch(_ database: UInt32) -> Bool {
        guard keepsDatabase(database) else { return false }
        if databases.insert(database).inserted { gate?.touch(database) }
        return true
    }

    /// The source has a value at `key` that the target cannot hold: what the target has there is older.
    func removeReplaced(_ key: RawSpan) {
        if isJournal || isOverwriting { batch.append("UNLINK", key) }
    }
}
