import Dragonfly
import Redis
import Wire

/// Builds one batch after another. Each batch selects its databases anew, because it may be sent on a new connection.
///
/// Lives on its flow's queue.
final class BatchBuilder {
    /// The size at which a batch is sent. A flow also stops decoding at this size until the previous batch is confirmed.
    static let batchBytes = 256 << 10
    /// The same limit for batches that are sent one at a time. It is larger if the target is far away.
    var orderedBatchBytes = batchBytes

    private(set) var batch = CommandBatch()
    /// Applied batches whose memory is used again.
    private var spare: [CommandBatch] = []
    private(set) var selectedDatabase: UInt32?
    /// Databases that this flow has written to.
    private(set) var databases: Set<UInt32> = []
    /// The databases that are prepared; `nil` if none has to be.
    var gate: DatabaseGate?
    /// Whether the commands come from the journal rather than from the snapshot.
    private(set) var isJournal: Bool

    private let replicatesDatabase: (UInt32) -> Bool
    private let isForCluster: Bool
    /// Whether consecutive plain strings become one command.
    private var joinsStrings: Bool
    private let batchCommands: Int
    /// Whether the snapshot's values replace keys that the target already has.
    let isOverwriting: Bool

    init(_ context: FlowContext, isJournal: Bool, openDatabases: Set<UInt32>? = nil) {
        replicatesDatabase = { context.replicates($0) }
        isForCluster = context.cluster != nil
        // In a cluster, the keys of one MSET would all have to be in one slot.
        joinsStrings = context.cluster == nil
        batchCommands = context.batchCommands
        isOverwriting = context.policy.onConflict == .overwrite
        self.isJournal = isJournal
        gate = openDatabases.map { DatabaseGate(open: $0) }
        beginBatch()
    }

    /// Whether the batch must be sent before more is decoded.
    var isFull: Bool {
        let batch = batch
        let count = batch.byteCount
        if count >= Self.batchBytes, count >= orderedBatchBytes || batch.isUnordered { return true }
        guard batchCommands < .max || isForCluster, !batch.isInCommand else { return false }
        // A node of a cluster gets a long command in a batch of its own.
        return batch.operationCount >= batchCommands || (isForCluster && batch.longCommand != nil)
    }

    /// Whether writing must wait until the session has prepared a database.
    var isGateClosed: Bool { gate?.isClosed == true }

    func beginJournal() {
        isJournal = true
        batch.beginJournal()
    }

    /// Returns the batch and begins the next one.
    func takeBatch() -> CommandBatch {
        defer {
            batch = spare.popLast().map { CommandBatch(inMemoryOf: $0) } ?? CommandBatch()
            selectedDatabase = nil
            beginBatch()
        }
        return batch
    }

    /// How many batches each flow keeps for reuse, and their maximum size.
    private static let (spareBatches, spareBytes) = (1, 1 << 20)

    /// Takes back a batch that is applied and whose commands nobody needs any more.
    func reuse(_ batch: CommandBatch) {
        if spare.count < Self.spareBatches, batch.memoryBytes <= Self.spareBytes { spare.append(batch) }
    }

    private func beginBatch() {
        batch.reportsConflicts = !isOverwriting && !isJournal
        batch.joinsStrings = joinsStrings
        if isJournal { batch.beginJournal() }
    }

    /// Writes each string with a command of its own, from the next batch on.
    ///
    /// - Returns: `false` if strings were already written one by one.
    func writeSingleStrings() -> Bool {
        defer { (joinsStrings, batch.joinsStrings) = (false, false) }
        return joinsStrings
    }

    /// Selects database 0, which holds the checkpoint, at the end of the batch.
    func prepareForCheckpoint() {
        if selectedDatabase != 0 { appendSelect(0) }
    }

    /// - Returns: `false` if the target has no such database or the database is left out.
    @discardableResult
    func select(_ database: UInt32) -> Bool {
        guard database != selectedDatabase else { return true }
        guard touch(database) else { return false }
        appendSelect(database)
        return true
    }

    private func appendSelect(_ database: UInt32) {
        batch.append("SELECT", Int64(database))
        // A SELECT does not make the batch depend on others, because each batch selects its databases itself.
        batch.noteUnordered()
        selectedDatabase = database
    }

    /// Notes that the batch is going to write to `database`.
    ///
    /// - Returns: `false` if the target has no such database or the database is left out.
    @discardableResult
    func touch(_ database: UInt32) -> Bool {
        guard replicatesDatabase(database) else { return false }
        if databases.insert(database).inserted { gate?.touch(database) }
        return true
    }

    /// Removes the target's value at `key`, which is outdated: the source has a value there that the target cannot hold.
    func removeReplaced(_ key: RawSpan) {
        if isJournal || isOverwriting { batch.append("UNLINK", key) }
    }
}
