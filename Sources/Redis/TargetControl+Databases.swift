import Wire

extension TargetControl {
    /// Beyond so many keys those of ours among them are not told apart.
    private static let countedKeys = 1000

    /// The number of keys in a database that are not df2redis' own.
    package func keyCount(database: UInt32, besides reserved: ReservedKeys) async throws(TargetError) -> Int {
        guard let size = try await demand(["DBSIZE"], in: database).int else {
            throw TargetError(.protocolViolation, "the target's answer to DBSIZE is not a number")
        }
        guard size <= Self.countedKeys else { return Int(size) }
        var keys: Set<[UInt8]> = []
        var cursor = "0"
        repeat {
            let page = try await scan(database: database, cursor: cursor)
            keys.formUnion(page.keys.filter { !reserved.contains($0) })
            cursor = page.cursor
        } while cursor != "0"
        return keys.count
    }

    /// Removes all keys of a database but `key`, a hash of database 0.
    package func empty(database: UInt32, sparing key: String) async throws(TargetError) {
        // In one step: what the flows write to the hash meanwhile comes before or behind.
        let script = """
            local kept=redis.call('HGETALL',KEYS[1]) redis.call('FLUSHDB','ASYNC')
            if #kept>0 then redis.call('HSET',KEYS[1],unpack(kept)) end
            """
        let command = database == 0 ? ["EVAL", script, "1", key] : ["FLUSHDB", "ASYNC"]
        _ = try await demand(command, in: database, timeout: Self.flushTimeout)
    }

    /// Even without a thread for it, a server empties hundreds of millions of keys in that time.
    private static let flushTimeout = Duration.seconds(540)

    /// What the names of df2redis' own keys begin with.
    package static let ownPrefix = Array("df2redis:".utf8)
}
