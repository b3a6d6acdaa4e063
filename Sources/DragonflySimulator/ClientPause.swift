/// The state of CLIENT PAUSE: commands wait, and no key expires (Protocol 5.7).
///
/// Several pauses may overlap, each with its own end; UNPAUSE ends all of them.
struct ClientPause {
    /// The commands that are journaled, and scripts.
    private static let writes: Set<String> = [
        "APPEND", "COPY", "DECR", "DECRBY", "DEL", "EVAL", "EVALSHA", "EXPIRE", "EXPIREAT", "FLUSHALL", "FLUSHDB",
        "GETDEL",
        "GETEX", "GETSET", "HDEL", "HINCRBY", "HINCRBYFLOAT", "HMSET", "HSET", "HSETNX", "INCR", "INCRBY",
        "INCRBYFLOAT",
        "LMOVE", "LPOP", "LPUSH", "LPUSHX", "LREM", "LSET", "LTRIM", "MSET", "PERSIST", "PEXPIRE", "PEXPIREAT",
        "PSETEX",
        "PUBLISH", "RENAME", "RENAMENX", "RPOP", "RPOPLPUSH", "RPUSH", "RPUSHX", "SADD", "SET", "SETEX", "SETNX",
        "SMOVE",
        "SPOP", "SREM", "UNLINK", "XADD", "XDEL", "XTRIM", "ZADD", "ZINCRBY", "ZPOPMAX", "ZPOPMIN", "ZREM",
    ]
    /// The commands that no pause holds back, not even with ALL, because replicas and operators need them.
    private static let never: Set<String> = ["CLIENT", "DFLY", "REPLCONF"]

    private var writeEnd: ContinuousClock.Instant?
    private var readEnd: ContinuousClock.Instant?
    private(set) var begun = 0
    private(set) var ended = 0

    mutating func begin(at now: ContinuousClock.Instant, for limit: Duration, stopsReads: Bool) {
        begun += 1
        let end = now + limit
        writeEnd = max(writeEnd ?? end, end)
        if stopsReads { readEnd = max(readEnd ?? end, end) }
    }

    mutating func end() {
        ended += 1
        (writeEnd, readEnd) = (nil, nil)
    }

    func isInForce(at now: ContinuousClock.Instant) -> Bool { writeEnd.map { now < $0 } ?? false }

    func holds(_ request: Request, of connection: Connection, at now: ContinuousClock.Instant) -> Bool {
        guard isInForce(at: now), !Self.never.contains(request.name) else { return false }
        if let readEnd, now < readEnd { return true }
        // Between MULTI and EXEC, commands are only queued; EXEC waits if one of them is a write.
        if request.name == "EXEC" {
            return connection.transaction?.contains { Self.writes.contains($0.name) } == true
        }
        return connection.transaction == nil && Self.writes.contains(request.name)
    }
}
