import Base

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
        calls[request.name.lowercased(), default: 0] += 1
        let command = LiveCommand(core: self, store: store, request: request, database: database)
        return command.executeString() ?? command.executeCounter() ?? command.executeKeys() ?? command.executeList()
            ?? command.executeSet() ?? command.executeHash() ?? command.executeZset() ?? command.executeStream()
            ?? ErrorText.unknown(request.name)
    }

    /// FLUSHALL or FLUSHDB: a record on every flow, under one transaction id (Protocol 5.2).
    func flush(_ name: String, _ arguments: [[UInt8]] = [], database: Int = 0) {
        guard let store else { return }
        store.flush(database: name == "FLUSHDB" ? database : nil)
        let record = JournalEntry(
            [Array(name.utf8)] + arguments, database: database, transaction: nextTransactionID(),
            shardCount: UInt64(store.shardCount))
        for shard in 0..<store.shardCount { journal(record, shard: shard) }
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
