import Base

/// Keys, expiries and whole databases.
struct KeyCommand: LiveCommand {
    let context: CommandContext

    func execute() -> Reply? {
        switch name {
        case "DEL", "UNLINK": return delete()
        case "EXISTS": return .integer(Int64(arguments.count { entry($0) != nil }))
        case "TYPE": return withKey { .simple(entry($0)?.value.typeName ?? "none") }
        case "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME": return withKey(remaining)
        case "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT": return withKey(expire)
        case "PERSIST": return withKey(persist)
        case "RENAME", "RENAMENX", "COPY": return arguments.count >= 2 ? rename() : ErrorText.arity(name)
        case "DUMP": return withKey { key in entry(key).map { .bulk(DumpPayload.bytes($0.value)) } ?? .null }
        case "DBSIZE": return .integer(Int64(store.keys(in: database).count))
        case "KEYS": return .array(store.keys(in: database).map { .bulk($0) })
        case "MEMORY" where request.keyword(0) == "USAGE" && !core.hasForeignRecords:
            guard arguments.count >= 2 else { return ErrorText.arity(name) }
            return entry(arguments[1]).map { .integer(Int64(DumpPayload.bytes($0.value).count)) } ?? .null
        case "SCAN": return scan()
        case "FLUSHDB", "FLUSHALL": return flush()
        default: return nil
        }
    }

    /// Returns all keys in one page, with cursor 0.
    private func scan() -> Reply {
        var keys = store.keys(in: database)
        let words = arguments.map { String(decoding: $0, as: UTF8.self) }
        if let place = words.firstIndex(where: { $0.uppercased() == "TYPE" }), place + 1 < words.count {
            keys = keys.filter { store[database, $0]?.value.typeName == words[place + 1].lowercased() }
        }
        return .array([.text("0"), .array(keys.map { .bulk($0) })])
    }

    /// Journals the command in each shard with that shard's keys, even if no key was deleted.
    private func delete() -> Reply {
        guard !arguments.isEmpty else { return ErrorText.arity(name) }
        var deleted: Int64 = 0
        for key in arguments where entry(key) != nil {
            store[database, key] = nil
            deleted += 1
        }
        journalSplit(arguments.map { (key: $0, words: [$0]) })
        return .integer(deleted)
    }

    private func remaining(_ key: [UInt8]) -> Reply {
        guard let entry = entry(key) else { return .integer(-2) }
        guard let time = entry.expiresAt else { return .integer(-1) }
        switch name {
        case "PEXPIRETIME": return .integer(time)
        case "EXPIRETIME": return .integer(time / 1000)
        case "PTTL": return .integer(time - WallClock.milliseconds())
        default: return .integer((time - WallClock.milliseconds() + 500) / 1000)
        }
    }

    private func expire(_ key: [UInt8]) -> Reply {
        guard let value = request.integer(1) else { return Self.noInteger }
        guard entry(key) != nil else { return .integer(0) }
        expire(key, at: Self.deadline(name, value))
        return .integer(1)
    }

    /// Sets the expiry and journals PEXPIREAT, or deletes the key and journals DEL if the time has passed.
    private func expire(_ key: [UInt8], at time: Int64) {
        guard time > WallClock.milliseconds() else {
            store[database, key] = nil
            return journal("DEL", key, key: key)
        }
        store[database, key]?.expiresAt = time
        journal("PEXPIREAT", key, Self.decimal(time), key: key)
    }

    /// Executes RENAME, RENAMENX and COPY.
    ///
    /// A rename within one shard is journaled verbatim, a rename across shards as DEL and RESTORE, and COPY always as
    /// RESTORE. Within one shard, a key that replaces another one takes over that key's expiry if both have one.
    private func rename() -> Reply {
        let (source, destination) = (arguments[0], arguments[1])
        guard var moved = entry(source) else { return name == "RENAME" ? .error("ERR no such key") : .integer(0) }
        let isReplacing = name == "RENAME" || request.keyword(2) == "REPLACE"
        if !isReplacing, entry(destination) != nil { return .integer(0) }
        if name != "COPY", source != destination, store.shard(of: source) == store.shard(of: destination),
            moved.expiresAt != nil, let kept = entry(destination)?.expiresAt
        {
            moved.expiresAt = kept
        }
        if name != "COPY" { store[database, source] = nil }
        store[database, destination] = moved
        if name != "COPY", store.shard(of: source) == store.shard(of: destination) {
            core.journal(
                JournalEntry(
                    [Array(name.utf8)] + arguments, database: database, transaction: core.sharedTransaction ?? 0),
                shard: store.shard(of: source),
                keys: [source, destination].map { DatabaseKey(database: database, key: $0) })
        } else {
            let transaction = core.sharedTransaction ?? core.nextTransactionID()
            if name != "COPY" {
                journal([Array("DEL".utf8), source], key: source, transaction: transaction, shardCount: 2)
            }
            let restore = [
                Array("RESTORE".utf8), destination, Self.decimal(moved.expiresAt ?? 0), DumpPayload.bytes(moved.value),
                Array("REPLACE".utf8), Array("ABSTTL".utf8),
            ]
            journal(restore, key: destination, transaction: transaction, shardCount: 2)
        }
        return name == "RENAME" ? .ok : .integer(1)
    }

    private func flush() -> Reply {
        core.flush(name, arguments, database: database)
        return .ok
    }
}
