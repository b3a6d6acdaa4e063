import Testing
import Wire

@testable import Redis

@Suite struct `A command in a batch` {
    @Test func `is in the table if the journal has it or df2redis writes it`() {
        let written: [CommandName] = [
            "SET", "UNLINK", "DEL", "PERSIST", "PEXPIREAT", "EVAL", "XGROUP", "RENAME", "RENAMENX", "HPEXPIREAT",
            "HPERSIST",
            "HDEL", "ZADD", "ZREM", "SADD", "SREM", "HSET", "RPUSH", "SELECT", "RESTORE", "SCRIPT", "MOVE", "COPY",
            "XADD",
            "XCLAIM", "XSETID", "SORT", "GEORADIUS", "INCRBYFLOAT", "HINCRBYFLOAT", "XACK", "JSON.SET",
        ]
        for name in written { #expect(ClusterCommand.isKnown(name), "\(name.text)") }
        for (name, rule) in JournalRule.table {
            switch rule {
            case .verbatim, .delete, .add, .addScored, .set, .rename, .move, .restore, .sort, .geoRadius,
                .consumerGroup,
                .claim, .script, .incrementFloat:
                #expect(ClusterCommand.isKnown(name), "\(name.text)")
            default: break
            }
        }
    }

    private func keys(_ line: String) -> [String] {
        let words = words(line).map { Array($0.utf8) }
        let name = words[0].asName
        return ClusterCommand.named(name).keys(of: words).map {
            String(decoding: words[$0.place], as: UTF8.self) + ($0.isChanged ? "!" : "")
        }
    }

    @Test(arguments: [
        ("SET a b", "a!"), ("BITOP AND d a b", "d! a b"), ("PFMERGE d a b", "d! a b"),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d! a b"),
        ("ZRANGESTORE d s 0 1", "d! s"), ("GEOSEARCHSTORE d s FROMMEMBER m", "d! s"),
        ("SORT a LIMIT 0 1 STORE d", "a d!"),
        ("SORT a", "a"), ("GEORADIUS a 1 2 3 m STOREDIST d", "a d!"), ("XGROUP CREATE s g 0", "s!"),
        ("EVAL x 2 a b c", "a! b!"),
        ("EVAL x 0 a", ""), ("ZUNIONSTORE d 99 a", "d! a"), ("COPY a b REPLACE", "a b!"),
        ("LMOVE a b LEFT RIGHT", "a! b!"),
        ("JSON.MSET a $ 1 b $ 2", "a! b!"), ("JSON.SET a $ 1", "a!"),
    ])
    func `has known keys, also those that it changes`(line: String, expected: String) {
        #expect(keys(line).joined(separator: " ") == expected)
    }

    private func mayRepeat(_ line: String) -> Bool {
        var buffer = ByteBuffer()
        for word in words(line) { buffer.appendBulk(utf8: word) }
        let bytes = buffer.withUnsafeBytes { Array($0) }
        let name = Array(words(line)[0].utf8).asName
        return ClusterCommand.named(name).mayRepeat(ByteReader(bytes.span.bytes), words(line).count)
    }

    @Test func `may be repeated only if it sets a final state`() {
        for line in [
            "SET a 1", "SET a 1 PXAT 5", "HSET h f v", "SADD s a", "ZADD z 1 a", "ZADD z -inf a", "ZADD z inf a",
            "DEL a b",
            "RESTORE a 0 x REPLACE", "RESTORE a 5 x ABSTTL REPLACE", "PEXPIREAT a 5", "GEOADD g 1.5 2 m",
        ] { #expect(mayRepeat(line), "\(line)") }
        for line in [
            "SET a 1 NX", "SET a 1 PXAT 5 NX", "SET a 1 KEEPTTL", "ZADD z NX 1 a", "ZADD z INCR 1 a", "ZADD z GT 1 a",
            "INCR a",
            "RESTORE a 0 x", "RESTORE a 5 x REPLACE", "RPUSH l a", "XADD s 1-1 f v", "EVAL x 1 a", "LTRIM l 1 -1",
            "NOSUCH a",
        ] { #expect(!mayRepeat(line), "\(line)") }
    }
}
