import Glibc

/// Ordinary client commands, and what each writes to the journal (Protocol 5.4).
extension MasterCore {
    /// A command of a client's connection: its database, its MULTI.
    func executeCommand(_ request: Request, _ connection: Connection) -> Reply {
        switch request.name {
        case "SELECT":
            guard let database = request.integer(0), (0..<16).contains(database) else {
                return .error("ERR DB index is out of range")
            }
            connection.database = Int(database)
            return .ok
        case "MULTI":
            if connection.transaction != nil { return .error("ERR MULTI calls can not be nested") }
            connection.transaction = []
            return .ok
        case "DISCARD":
            connection.transaction = nil
            return .ok
        case "EXEC":
            guard let queued = connection.transaction else { return .error("ERR EXEC without MULTI") }
            connection.transaction = nil
            return executeTogether(queued, database: connection.database)
        case "CLIENT", "HELLO", "COMMAND", "CONFIG": return answerTool(request)
        default: break
        }
        guard connection.transaction == nil else {
            connection.transaction?.append(request)
            return .simple("QUEUED")
        }
        return executeOnStore(request, database: connection.database)
    }

    /// What clients ask for when they connect.
    private func answerTool(_ request: Request) -> Reply {
        switch request.name {
        case "CLIENT": .ok
        case "HELLO": .error("NOPROTO unsupported protocol version")
        default: .array([])
        }
    }

    /// The commands of a MULTI: records of their own that share a transaction id.
    private func executeTogether(_ requests: [Request], database: Int) -> Reply {
        sharedTransaction = nextTransactionID()
        defer { sharedTransaction = nil }
        return .array(requests.map { executeOnStore($0, database: database) })
    }

    /// Executes a command on the key space.
    func executeOnStore(_ request: Request, database: Int) -> Reply {
        guard let store else { return ErrorText.unknown(request.name) }
        let command = LiveCommand(core: self, store: store, request: request, database: database)
        return command.executeString() ?? command.executeCounter() ?? command.executeKeys() ?? command.executeList()
            ?? command.executeSet() ?? command.executeHash() ?? command.executeZset() ?? command.executeStream()
            ?? ErrorText.unknown(request.name)
    }

    /// Deletes the keys whose time has come and journals that: EXPIRED, or COMMAND `DEL` from v1.38 on.
    func expireKeys() {
        guard let store, store.hasExpiries, !isFrozen else { return }
        let time = WallClock.milliseconds()
        while let due = store.nextExpired(now: time) { expire(due.key, database: due.database, shard: due.shard) }
    }

    func expire(_ key: [UInt8], database: Int, shard: Int) {
        store?[database, key] = nil
        let record =
            options.version.sendsExpiredRecords
            ? JournalEntry.expired(key, database: database)
            : JournalEntry([Array("DEL".utf8), key], database: database)
        journal(record, shard: shard, keys: [DatabaseKey(database: database, key: key)])
    }
}

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
        if let time = entry.expiresAt, time <= WallClock.milliseconds() {
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
