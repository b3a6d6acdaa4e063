import Wire

/// What a journal record needs on its way to a Redis. Source: Protocol 5.2-5.5.
enum JournalRule: Sendable {
    /// Plain Redis 7 understands it as it is.
    case verbatim
    case delete, deleteIf
    case add, addScored
    case set, setIfMissing, setWithExpiry
    case placeInList, removeByLex, prepend
    case bitField
    case rename, move
    case expireAt, expire
    case restore
    case setAddWithExpiry
    case fieldExpire
    case hashSetWithExpiry
    case hashExpire, hashGetWithExpiry
    case sort
    case geoRadius
    case incrementFloat
    case consumerGroup, claim
    case script
    /// Nothing to do on a Redis, and nothing lost.
    case ignore
    case flushAll, flushDatabase, dragonflyCluster
    case json, bloom, search, throttle

    /// Whether a command with keys in several slots of a cluster crosses them. (A SORT or GEORADIUS may be a fragment, which
    /// is found out first.)
    var keepsKeysTogether: Bool { self == .verbatim || self == .rename || self == .move }

    static let table: [CommandName: JournalRule] = {
        let verbatim: [CommandName] = [
            "GETSET", "GETDEL", "APPEND", "SETRANGE", "INCR", "INCRBY", "DECR", "DECRBY",
            "SETBIT", "BITOP", "MSET", "MSETNX", "PERSIST",
            "SREM", "SPOP", "SMOVE", "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE",
            "HSET", "HMSET", "HSETNX", "HINCRBY", "HDEL",
            "LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LTRIM", "LREM", "LMOVE", "RPOPLPUSH",
            "ZINCRBY", "ZREM", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZPOPMIN", "ZPOPMAX",
            "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZRANGESTORE", "GEOADD", "GEOSEARCHSTORE",
            "PFADD", "PFMERGE",
            "XADD", "XTRIM", "XDEL", "XSETID",
        ]
        var table: [CommandName: JournalRule] = [:]
        for name in verbatim { table[name] = .verbatim }
        for name: CommandName in ["DEL", "UNLINK"] { table[name] = .delete }
        table["SADD"] = .add
        table["ZADD"] = .addScored
        table["SET"] = .set
        table["SETNX"] = .setIfMissing
        for name: CommandName in ["SETEX", "PSETEX"] { table[name] = .setWithExpiry }
        for name: CommandName in ["EXPIRE", "PEXPIRE", "EXPIREAT"] { table[name] = .expire }
        for name: CommandName in ["COPY", "MOVE"] { table[name] = .move }
        for name: CommandName in ["LINSERT", "LSET"] { table[name] = .placeInList }
        table["ZREMRANGEBYLEX"] = .removeByLex
        table["PREPEND"] = .prepend
        table["BITFIELD"] = .bitField
        for name: CommandName in ["RENAME", "RENAMENX"] { table[name] = .rename }
        table["PEXPIREAT"] = .expireAt
        table["RESTORE"] = .restore
        table["SADDEX"] = .setAddWithExpiry
        table["FIELDEXPIRE"] = .fieldExpire
        table["HSETEX"] = .hashSetWithExpiry
        table["HGETEX"] = .hashGetWithExpiry
        table["DELEX"] = .deleteIf
        table["HEXPIRE"] = .hashExpire
        table["SORT"] = .sort
        table["GEORADIUS"] = .geoRadius
        table["GEORADIUSBYMEMBER"] = .geoRadius
        for name: CommandName in ["INCRBYFLOAT", "HINCRBYFLOAT"] { table[name] = .incrementFloat }
        table["XACK"] = .consumerGroup
        table["XGROUP"] = .consumerGroup
        table["XCLAIM"] = .claim
        table["XAUTOCLAIM"] = .claim
        table["SCRIPT"] = .script
        for name: CommandName in ["PING", "STICK", "SHRINK"] { table[name] = .ignore }
        table["FLUSHALL"] = .flushAll
        table["FLUSHDB"] = .flushDatabase
        table["DFLYCLUSTER"] = .dragonflyCluster
        table["CL.THROTTLE"] = .throttle
        return table
    }()

    static func rule(for name: CommandName) -> JournalRule? {
        if let rule = table[name] { return rule }
        if name.hasPrefix("JSON.") { return .json }
        if name.hasPrefix("BF.") || name.hasPrefix("CMS.") || name.hasPrefix("TOPK.") || name.hasPrefix("CF.") {
            return .bloom
        }
        if name.hasPrefix("FT.") { return .search }
        return nil
    }
}
