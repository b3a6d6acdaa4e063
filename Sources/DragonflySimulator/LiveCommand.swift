import Base

/// One command on its way through the key space.
///
/// The families of commands are in `LiveCommand+Keys`, `+Strings`, `+Collections` and so on; each answers `nil` for a
/// name that is not its own.
struct LiveCommand {
    let core: MasterCore
    let store: LiveStore
    let request: Request
    let database: Int

    var name: String { request.name }
    var arguments: [[UInt8]] { request.arguments }

    static let noInteger = ErrorText.integer
    static let noFloat = Reply.error("ERR value is not a valid float")

    // MARK: The key space

    /// The entry of a key; one whose time has come is expired first.
    func entry(_ key: [UInt8]) -> LiveStore.Entry? {
        guard let entry = store[database, key] else { return nil }
        if let time = entry.expiresAt, time <= WallClock.milliseconds(), !core.pause.isInForce(at: core.now) {
            core.expire(key, database: database, shard: store.shard(of: key))
            return nil
        }
        return entry
    }

    func set(_ key: [UInt8], _ value: Value, expiresAt: Int64? = nil) {
        store[database, key] = LiveStore.Entry(value: value, expiresAt: expiresAt)
    }

    /// Lets `body` change a value in place; an empty collection is deleted.
    func change<Result>(_ key: [UInt8], _ body: (inout Value?) -> Result) -> Result {
        var value = entry(key) == nil ? nil : store.takeValue(database, key)
        let result = body(&value)
        if let value { store.putValue(database, key, value) }
        return result
    }

    // MARK: The journal

    /// Journals the command as it came.
    func journalVerbatim(key: [UInt8]) { journal([Array(name.utf8)] + arguments, key: key) }

    func journal(_ words: [[UInt8]], key: [UInt8], transaction: UInt64? = nil, shardCount: Int = 1) {
        let record = JournalEntry(
            words, database: database, transaction: transaction ?? core.sharedTransaction ?? 0,
            shardCount: UInt64(shardCount))
        core.journal(record, shard: store.shard(of: key), keys: [DatabaseKey(database: database, key: key)])
    }

    func journal(_ line: String, _ words: [UInt8]..., key: [UInt8]) { journal([Array(line.utf8)] + words, key: key) }

    /// Journals a command over several keys: a record in each shard with its own part, under one transaction id.
    ///
    /// - Parameter parts: the keys with the words that belong to each.
    func journalSplit(_ parts: [(key: [UInt8], words: [[UInt8]])]) {
        let byShard = Dictionary(grouping: parts) { store.shard(of: $0.key) }
        let transaction =
            byShard.count > 1 ? core.sharedTransaction ?? core.nextTransactionID() : core.sharedTransaction
        for (shard, parts) in byShard.sorted(by: { $0.key < $1.key }) {
            let record = JournalEntry(
                [Array(name.utf8)] + parts.flatMap(\.words), database: database, transaction: transaction ?? 0,
                shardCount: UInt64(byShard.count))
            core.journal(record, shard: shard, keys: parts.map { DatabaseKey(database: database, key: $0.key) })
        }
    }

    static func decimal(_ value: Int64) -> [UInt8] { Array(String(value).utf8) }
}
