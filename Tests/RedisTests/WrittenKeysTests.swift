import Testing
import Wire

@testable import Redis

/// A key that is missing here is deleted from the target by a reconciling full sync.
@Suite("The keys that a journal command writes")
struct WrittenKeysTests {
    /// Each command with an example, and the keys of it: `key`, or `key@database` outside of database 0.
    private static let examples: [String: [(words: String, keys: String)]] = {
        var examples: [String: [(words: String, keys: String)]] = [
            "MSET": [("MSET a 1 b 2", "a b")], "MSETNX": [("MSETNX a 1 b 2", "a b")],
            "DEL": [("DEL a b", "a b")], "UNLINK": [("UNLINK a b", "a b")], "PFMERGE": [("PFMERGE d s", "d s")],
            "RENAME": [("RENAME a b", "a b")], "RENAMENX": [("RENAMENX a b", "a b")],
            "COPY": [("COPY a b", "a b"), ("COPY a b REPLACE DB 3", "a b@3"), ("COPY a b DB", "a b")],
            "SMOVE": [("SMOVE a b member", "a b")], "LMOVE": [("LMOVE a b LEFT RIGHT", "a b")],
            "RPOPLPUSH": [("RPOPLPUSH a b", "a b")],
            "MOVE": [("MOVE k 3", "k k@3"), ("MOVE k nowhere", "k"), ("MOVE k", "k")],
            "XGROUP": [("XGROUP CREATE s g 0", "s")], "BITOP": [("BITOP OR dst x", "dst")],
            "SORT": [
                ("SORT src ALPHA LIMIT 0 2 STORE dst", "src dst"), ("sort src by w_* get # store dst", "src dst"),
                ("SORT src", "src"), ("SORT src BY STORE STORE dst", "src STORE dst"),
            ],
            "GEORADIUS": [
                ("GEORADIUS src 1 2 3 km STORE dst", "src dst"),
                ("GEORADIUS src 1 2 3 km ASC STOREDIST dst STORE other", "src dst other"),
            ],
            "GEORADIUSBYMEMBER": [("GEORADIUSBYMEMBER src m 3 km STOREDIST dst", "src dst")],
            "JSON.MSET": [("JSON.MSET a $ 1 b $ 2", "a b")], "JSON.SET": [("JSON.SET a $ 1", "a")],
            "BF.ADD": [("BF.ADD a x", "a")], "FT.CREATE": [("FT.CREATE idx ON HASH", "")],
            "UNHEARDOF": [("UNHEARDOF k x", "k")],
        ]
        for name in ["PING", "SCRIPT", "FLUSHALL", "FLUSHDB", "DFLYCLUSTER", "STICK", "SHRINK"] {
            examples[name] = [("\(name) LOAD x", "")]
        }
        let ofOneKey = [
            "SET", "SETNX", "SETEX", "PSETEX", "GETSET", "GETDEL", "APPEND", "SETRANGE", "INCR", "INCRBY", "DECR",
            "DECRBY", "SETBIT", "DELEX", "BITFIELD", "PERSIST", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "RESTORE",
            "PREPEND", "INCRBYFLOAT",
            "SADD", "SREM", "SPOP", "SADDEX", "SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE",
            "HSET", "HMSET", "HSETNX", "HINCRBY", "HINCRBYFLOAT", "HDEL", "HSETEX", "HGETEX", "HEXPIRE", "FIELDEXPIRE",
            "LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "LPOP", "RPOP", "LSET", "LTRIM", "LREM", "LINSERT",
            "ZADD", "ZINCRBY", "ZREM", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZREMRANGEBYLEX", "ZPOPMIN", "ZPOPMAX",
            "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZRANGESTORE", "GEOADD", "GEOSEARCHSTORE",
            "PFADD", "XADD", "XTRIM", "XDEL", "XSETID", "XACK", "XCLAIM", "XAUTOCLAIM", "CL.THROTTLE",
        ]
        for name in ofOneKey { examples[name] = [("\(name) k x y z", "k")] }
        return examples
    }()

    @Test("are found for each command", arguments: examples.keys.sorted())
    func keys(_ name: String) throws {
        for (words, expected) in try #require(Self.examples[name]) {
            var encoded = ByteBuffer()
            encoded.append(journalCommand: words.split(separator: " ").map(String.init), transactionID: 0)
            var reader = ByteReader(encoded.bytes)
            guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else {
                Issue.record("not a command")
                return
            }
            var found: [String] = []
            command.forEachWrittenKey(in: 0) { key, database in
                let text = key.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
                found.append(database == 0 ? text : "\(text)@\(database)")
            }
            #expect(found.joined(separator: " ") == expected, "\(words)")
        }
    }

    @Test("are tested for every command with a rule")
    func everyRule() {
        let missing = JournalRule.table.keys.map(\.text).filter { Self.examples[$0] == nil }
        #expect(missing == [], "whoever adds a rule says here which keys its command writes")
    }

    @Test(
        "are known with the keys whose value they take over at the target",
        arguments: [
            ("RENAME a b", "a>b"), ("RENAMENX a b", "a>b"), ("MOVE a 3", "a>a@3"), ("MOVE a nowhere", ""),
            ("COPY a b", "a>b"), ("COPY a b REPLACE DB 3", "a>b@3"),
            ("SORT a ALPHA LIMIT 0 2 STORE b", "a>b"), ("SORT a", ""), ("SORT a DESC", ""),
            ("GEORADIUS a 1 2 3 km STORE b", "a>b"), ("GEORADIUSBYMEMBER a m 3 km STOREDIST b", "a>b"),
            ("SET a b", ""), ("RENAME a", ""), ("SMOVE a b m", ""), ("RESTORE a 0 b", ""),
        ])
    func valueTransfers(_ words: String, _ expected: String) throws {
        var encoded = ByteBuffer()
        encoded.append(journalCommand: words.split(separator: " ").map(String.init), transactionID: 0)
        var reader = ByteReader(encoded.bytes)
        guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else {
            Issue.record("not a command")
            return
        }
        var found: [String] = []
        command.forEachValueTransfer(in: 0) { key, destination, other in
            let texts = [
                key.withUnsafeBytes { String(decoding: $0, as: UTF8.self) },
                destination.withUnsafeBytes { String(decoding: $0, as: UTF8.self) },
            ]
            found.append(texts.joined(separator: ">") + (other == 0 ? "" : "@\(other)"))
        }
        #expect(found.joined(separator: " ") == expected)
    }
}
