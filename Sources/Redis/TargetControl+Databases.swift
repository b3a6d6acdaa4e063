import Wire

extension TargetControl {
    /// The number of keys in a database that are not df2redis' own.
    package func keyCount(database: UInt32, excluding reserved: ReservedKeys) async throws(TargetError) -> Int {
        var (size, cursor): (Int64, String) = (0, "0")
        var keys: Set<[UInt8]> = []
        func add(_ page: (cursor: String, keys: [[UInt8]])) {
            keys.formUnion(page.keys.filter { !reserved.contains($0) })
            cursor = page.cursor
        }
        // This asks for the size and a first page, which often has all keys.
        let requests = KeyCount.questions.map { $0.map(\.bytes) }
        if let replies = try await servers.pipeline(requests, in: database) {
            let count = try KeyCount(replies[...], excluding: reserved)
            if let known = count.number { return known }
            (keys, cursor) = (count.others, count.cursor)
            while cursor != "0" { add(try await scan(database: database, cursor: cursor)) }
            return keys.count
        }
        for reply in try await servers.executeEverywhere("DBSIZE", in: database) {
            guard let part = reply.int else { throw KeyCount.noNumber }
            size += part
        }
        guard size <= KeyCount.most else { return Int(size) }
        repeat { add(try await scan(database: database, cursor: cursor)) } while cursor != "0"
        return keys.count
    }

    /// The number of keys in a database that are data. If there are many keys, only those of df2redis' own keys are
    /// subtracted that a task always has.
    ///
    /// - Parameter checkpoint: the key of the task's checkpoint.
    package func dataKeyCount(
        database: UInt32, checkpoint: String, task: String
    ) async throws(TargetError) -> Int {
        let reserved = ReservedKeys(checkpoint: checkpoint, isInCluster: isInCluster)
        let count = try await keyCount(database: database, excluding: reserved)
        guard count > KeyCount.most else { return count }
        return count - (try await ownKeyCount(checkpoint: checkpoint, task: task, in: database))
    }

    /// Removes all keys of a database except the task's own, unless there are other tasks.
    ///
    /// - Returns: `false` if there are other tasks; nothing is removed in this case.
    package func emptyAlone(_ database: UInt32, _ flush: Flush) async throws(TargetError) -> Bool {
        let checkpointKey = flush.checkpointKey
        guard servers.cluster == nil else {
            return try await ClusterFlush(
                servers: servers, command: .flushDatabase(database), checkpointKey: checkpointKey,
                owner: connector.settings.owner, registry: flush.registry
            ).run(nil) != nil
        }
        // The script runs in one step, so whatever the flows write to the hash meanwhile comes before or after it.
        let script = """
            local kept,tasks=redis.call('HGETALL',KEYS[1]),redis.call('HGETALL',KEYS[2])
            for i=1,#tasks,2 do if tasks[i]~=KEYS[1] then return 0 end end
            redis.call('SELECT',ARGV[1]) redis.call('FLUSHDB','ASYNC') redis.call('SELECT',0)
            if ARGV[1]~='0' then return 1 end
            if #kept>0 then redis.call('HSET',KEYS[1],unpack(kept)) end
            if #tasks>0 then redis.call('HSET',KEYS[2],unpack(tasks)) end
            if #ARGV>1 then redis.call(unpack(ARGV,2)) end
            return 1
            """
        let arguments = ["EVAL", script, "2", checkpointKey, TaskRegistry.key, String(database)]
        let owner = connector.settings.owner?.command ?? []
        return try await execute(arguments + owner, at: checkpointKey, in: 0, timeout: Self.flushTimeout).int == 1
    }

    /// Whether the server holds no keys in any database except df2redis' own.
    package func isEmpty(excluding reserved: ReservedKeys) async throws(TargetError) -> Bool {
        for database in try await databasesWithKeys() {
            if try await keyCount(database: database, excluding: reserved) > 0 { return false }
        }
        return true
    }

    /// The databases that hold keys.
    package func databasesWithKeys() async throws(TargetError) -> [UInt32] {
        let replies = try await servers.executeEverywhere("INFO", "keyspace")
        return Set(replies.flatMap { ServerInfo($0.text).keyCounts.keys }).sorted()
    }

    /// The timeout of a flush. A server empties hundreds of millions of keys in this time even without a separate thread.
    private static let flushTimeout = Duration.seconds(540)

    /// The prefix of the names of df2redis' own keys.
    package static let ownPrefix = "df2redis:".bytes
}
