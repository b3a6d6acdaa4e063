import Base

/// The key space: the commands that change it, the expiry of keys, and the journal records of both (Protocol 5.4).
extension MasterCore {
    /// Executes a command on the key space.
    func executeOnStore(_ request: Request, database: Int) -> Reply {
        guard let store else { return ErrorText.unknown(request.name) }
        calls[request.name.lowercased(), default: 0] += 1
        let context = CommandContext(core: self, store: store, request: request, database: database)
        func reply<Family: LiveCommand>(_ family: Family.Type) -> Reply? {
            Family(context: context).execute()
        }
        return reply(StringCommand.self) ?? reply(CounterCommand.self) ?? reply(KeyCommand.self)
            ?? reply(ListCommand.self) ?? reply(SetCommand.self) ?? reply(HashCommand.self) ?? reply(ZsetCommand.self)
            ?? reply(StreamCommand.self) ?? reply(FilterCommand.self) ?? ErrorText.unknown(request.name)
    }

    /// Executes FLUSHALL or FLUSHDB and journals it on every flow under one transaction id (Protocol 5.2).
    func flush(_ name: String, _ arguments: [[UInt8]] = [], database: Int = 0) {
        guard let store else { return }
        store.flush(database: name == "FLUSHDB" ? database : nil)
        let record = JournalEntry(
            [Array(name.utf8)] + arguments, database: database, transaction: nextTransactionID(),
            shardCount: UInt64(store.shardCount))
        for shard in 0..<store.shardCount { journal(record, shard: shard) }
    }

    /// Deletes the keys whose expiry has passed and journals each as EXPIRED, or as COMMAND `DEL` from v1.38 on.
    func expireKeys() {
        guard let store, store.hasExpiries, !isFrozen, !pause.isInForce(at: now) else { return }
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
