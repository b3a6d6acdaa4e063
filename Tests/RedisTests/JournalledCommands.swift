/// Every command that a Dragonfly registers as writing, or that it journals (`CO::JOURNALED`, before v1.31 `CO::WRITE`),
/// with the first release that has it and its records in the journal.
///
/// The lists come from the registrations (`CI{"NAME", CO::...`) of each release from v1.20.0 to v1.40.1. The main branch of
/// August 2026 adds none.
enum JournalledCommands {
    /// Commands that are journaled as the client sent them, by their first release.
    static let verbatim: [String: String] = list([
        "v1.20": """
        APPEND BF.ADD BF.MADD BF.RESERVE BITFIELD CL.THROTTLE DECR DECRBY FLUSHALL FLUSHDB FT.ALTER FT.CREATE FT.DROPINDEX
        GEOADD GETDEL GETSET HDEL HINCRBY HINCRBYFLOAT HMSET HSET HSETEX HSETNX INCR INCRBY
        INCRBYFLOAT JSON.ARRAPPEND JSON.ARRINSERT JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEL JSON.FORGET JSON.MERGE
        JSON.NUMINCRBY JSON.NUMMULTBY JSON.SET JSON.STRAPPEND JSON.TOGGLE LINSERT LPOP LPUSH LPUSHX LREM LSET LTRIM
        PERSIST PFADD PREPEND RESTORE RPOP RPUSH RPUSHX SADD SADDEX SETBIT SETNX SETRANGE SREM STICK XACK XAUTOCLAIM
        XCLAIM XDEL XGROUP XSETID ZADD ZINCRBY ZPOPMAX ZPOPMIN ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
        """,
        "v1.24": "FIELDEXPIRE HEXPIRE",
        "v1.30": "FT.SYNUPDATE",
        "v1.31": "GEORADIUS GEORADIUSBYMEMBER SORT",
        "v1.36": "SHRINK",
        "v1.37": "DELEX",
        "v1.38": "BF.LOADCHUNK TOPK.ADD TOPK.INCRBY TOPK.RESERVE",
        "v1.40": """
        CF.ADD CF.ADDNX CF.COMPACT CF.DEL CF.INSERT CF.INSERTNX CF.RESERVE CMS.INCRBY CMS.INITBYDIM CMS.INITBYPROB
        CMS.MERGE HGETEX
        """,
    ])

    /// Commands with `CO::NO_AUTOJOURNAL`, and the records that they write themselves. A record may have the name of its
    /// command.
    static let asOthers: [String: String] = [
        "BITOP": "SET DEL", "BLMOVE": "LPOP RPOP LPUSH RPUSH", "BLMPOP": "LPOP RPOP", "BLPOP": "LPOP", "BRPOP": "RPOP",
        "BRPOPLPUSH": "RPOP LPUSH", "BZMPOP": "ZPOPMIN ZPOPMAX", "BZPOPMAX": "ZPOPMAX", "BZPOPMIN": "ZPOPMIN",
        "COPY": "RESTORE DEL", "DEL": "DEL", "EXPIRE": "PEXPIREAT DEL", "EXPIREAT": "PEXPIREAT DEL",
        "GAT": "PEXPIREAT PERSIST DEL", "GETEX": "PEXPIREAT PERSIST DEL", "LMOVE": "LPOP RPOP LPUSH RPUSH",
        "LMPOP": "LPOP RPOP", "MOVE": "MOVE", "MSET": "MSET PING", "MSETNX": "MSET", "PEXPIRE": "PEXPIREAT DEL",
        "PEXPIREAT": "PEXPIREAT DEL", "PFMERGE": "SET", "PSETEX": "SET", "RENAME": "RENAME DEL RESTORE",
        "RENAMENX": "RENAMENX DEL RESTORE", "RM": "DEL", "RPOPLPUSH": "RPOP LPUSH", "SDIFFSTORE": "DEL SADD",
        "SET": "SET DEL", "SETEX": "SET", "SINTERSTORE": "DEL SADD", "SMOVE": "SREM SADD", "SPOP": "SREM DEL",
        "SUNIONSTORE": "DEL SADD", "UNLINK": "DEL", "XADD": "XADD", "XREADGROUP": "XGROUP XCLAIM",
        "XTRIM": "XTRIM", "ZDIFFSTORE": "DEL ZADD", "ZINTERSTORE": "DEL ZADD", "ZMPOP": "ZPOPMIN ZPOPMAX",
        "ZRANGESTORE": "DEL ZADD", "ZUNIONSTORE": "DEL ZADD", "JSON.MSET": "JSON.MSET PING",
    ]

    /// Records that belong to no command in these lists, or to a command that is not registered as writing.
    static let others = ["DFLYCLUSTER", "SCRIPT", "PING"]

    private static func list(_ releases: [String: String]) -> [String: String] {
        var commands: [String: String] = [:]
        for (release, names) in releases {
            for name in names.split(whereSeparator: \.isWhitespace) { commands[String(name)] = release }
        }
        return commands
    }
}
