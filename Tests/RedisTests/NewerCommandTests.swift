import Lab
import Redis
import Testing
import Wire

/// Commands that Dragonfly has since v1.37, run on a real server.
@Suite struct `Records of newer sources` {
    private let now = TargetUnderTest.now

    @Test func `DELEX deletes if its condition holds at the target`() async throws {
        let keys = ["plain", "same", "other", "unlike", "alike", "missing", "list"]
        let target = try await TargetUnderTest(
            setUp: keys.dropLast(2).map { ["SET", $0, "v"] } + [["RPUSH", "list", "v"]])
        #expect(try target.apply(words("DELEX plain")) == .written)
        #expect(try target.apply(words("DELEX same IFEQ v")) == .written)
        #expect(try target.apply(words("DELEX other ifeq w")) == .written)
        #expect(try target.apply(words("DELEX unlike IFNE w")) == .written)
        #expect(try target.apply(words("DELEX alike IFNE v")) == .written)
        #expect(try target.apply(words("DELEX missing IFNE v")) == .written)
        #expect(try target.apply(words("DELEX list IFEQ v")) == .written)
        #expect(try keys.filter { try target.integer("EXISTS", $0) == 1 } == ["other", "alike", "list"])
        #expect(try target.apply(words("DELEX other IFEQ")) == .unsupported(.unknownCommand))
        #expect(try target.apply(words("DELEX other IFGT v")) == .unsupported(.unknownCommand))
    }

    /// Digests by the reference implementation, one for each path of XXH3 by length.
    @Test(arguments: [
        (0, "2d06800538d394c2"), (1, "4c5cca45d0f4811f"), (3, "6e3e2670e61106ac"), (4, "5c4c63133443d03f"),
        (8, "f9fd4dd0b04d78f5"), (9, "7c20df9712c26edf"),
        (16, "86abf6baccea0858"), (17, "b58bf5dc5022d071"), (128, "10d17f72c0ccba41"), (129, "1648bdc3db49d1a2"),
        (240, "b6cfaf343fab81e6"),
        (241, "956cae592c67279e"), (1024, "70bd377d9574f4bb"), (1025, "66c4487c41e127a7"), (70_000, "b851fcc28c3570c0"),
    ])
    func `DELEX compares the digest of the value`(_ length: Int, _ digest: String) async throws {
        let target = try await TargetUnderTest()
        let value = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ 7) }
        for key in ["a", "b", "c"] { _ = try target.client.send([Array("SET".utf8), Array(key.utf8), value]) }
        #expect(try target.apply(["DELEX", "a", "IFDEQ", digest]) == .written)
        #expect(try target.apply(["DELEX", "b", "IFDNE", digest]) == .written)
        #expect(try target.apply(["DELEX", "c", "IFDNE", "0000000000000000"]) == .written)
        #expect(try ["a", "b", "c"].filter { try target.integer("EXISTS", $0) == 1 } == ["b"])
    }

    @Test func `HSETEX in the form of Redis 8 sets its fields, with FNX and FXX all or none`() async throws {
        let target = try await TargetUnderTest(setUp: [["HSET", "h", "a", "old", "b", "old"]])
        #expect(try target.apply(words("HSETEX h FIELDS 1 c 1")) == .written)
        #expect(try target.apply(words("HSETEX h FNX FIELDS 2 a new d new")) == .written)
        #expect(try target.apply(words("HSETEX h FNX EX 100 FIELDS 2 e 1 f 2")) == .writtenWithout(.fieldExpiry))
        #expect(try target.apply(words("HSETEX h FXX FIELDS 2 a new g new")) == .written)
        #expect(try target.apply(words("HSETEX h FXX KEEPTTL FIELDS 1 b new")) == .written)
        #expect(try target.apply(words("HSETEX h FNX 100 i 1")) == .writtenWithout(.fieldExpiry))
        #expect(try target.apply(words("HSETEX new FXX FIELDS 1 a 1")) == .written)
        #expect(
            try target.list("HMGET", "h", "a", "b", "c", "d", "e", "f", "g", "i")
                == ["old", "new", "1", "nil", "1", "2", "nil", "1"])
        #expect(try target.integer("EXISTS", "new") == 0)
        for malformed in [
            "HSETEX h FIELDS 2 a 1", "HSETEX h EX 5 a 1", "HSETEX h EX FIELDS 1 a 1", "HSETEX h PX -5 FIELDS 1 a 1",
            "HSETEX h FIELDS 0", "HGETEX h", "HGETEX h EX 5", "HGETEX h 100 a", "HGETEX h FIELDS 2 a",
            "HGETEX h KEEPTTL FIELDS 1 a", "HSETEX h PX 9223372036854775807 FIELDS 1 a 1",
        ] {
            #expect(try target.apply(words(malformed)) == .unsupported(.unknownCommand), "\(malformed)")
        }
    }

    @Test func `HGETEX is a read without a TTL, and unsupported by Redis 7_0 with one`() async throws {
        let target = try await TargetUnderTest(setUp: [["HSET", "h", "a", "1", "b", "2"]])
        #expect(try target.apply(words("HGETEX h FIELDS 1 a")) == .nothing)
        #expect(try target.apply(words("HGETEX h PERSIST FIELDS 1 a")) == .nothing)
        #expect(try target.apply(words("HGETEX h EX 100 FIELDS 1 a")) == .unsupported(.fieldExpiry))
        #expect(try target.apply(words("HGETEX h EX 0 FIELDS 1 a")) == .written)
        #expect(try target.list("HKEYS", "h") == ["b"])
    }

    @Test(.enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no server with TTLs of fields"))
    func `fields have the same TTLs as at the source if the target has field TTLs`() async throws {
        let target = try await TargetUnderTest(binary: RedisServer.valkeyBinary)
        let later = 4_000_000_000_000 as Int64
        func apply(_ line: String) throws {
            #expect(try target.apply(words(line), profile: TargetUnderTest.redis74) == .written, "\(line)")
        }
        func expiries(_ key: String, _ fields: String...) throws -> [Int64] {
            let reply = try target.client.command(
                ["HPEXPIRETIME", key, "FIELDS", "\(fields.count)"] + fields)
            return (reply.array ?? []).compactMap(\.int)
        }
        try apply("HSETEX h PXAT \(later) FIELDS 2 a 1 b 2")
        try apply("HSETEX h KEEPTTL FIELDS 2 a 3 c 4")
        try apply("HSETEX h EXAT \(later / 1000 + 5) FIELDS 1 d 5")
        try apply("HSETEX h FIELDS 1 b 6")
        #expect(try expiries("h", "a", "b", "c", "d") == [later, -1, -1, later + 5000])
        #expect(try target.list("HMGET", "h", "a", "b", "c", "d") == ["3", "6", "4", "5"])
        try apply("HGETEX h PERSIST FIELDS 1 a")
        try apply("HGETEX h PXAT \(later + 1) FIELDS 1 b")
        try apply("HSETEX h KEEPTTL 100000000 d 7 e 8")
        try apply("HSETEX h NX 100000000 a 9 f 10")
        try apply("HSETEX h FNX PXAT \(later) FIELDS 2 a 11 g 12")
        try apply("HSETEX h FXX PXAT \(later) FIELDS 2 b 11 c 12")
        let relative = now + 100_000_000_000
        #expect(
            try expiries("h", "a", "b", "c", "d", "e", "f", "g") == [
                -1, later, later, later + 5000, relative, relative, -2,
            ])
        #expect(try target.list("HMGET", "h", "a", "b", "d", "f") == ["3", "11", "7", "10"])
        try apply("HSET h n 1 m 1")
        try apply("HGETEX h PXAT \(later + 7000) FIELDS 1 n")
        for field in ["n", "m", "new"] { try apply("HINCRBYFLOAT h \(field) 0.5") }
        try apply("HINCRBYFLOAT new f 0.5")
        #expect(try expiries("h", "n", "m", "new") == [later + 7000, -1, -1])
        #expect(try target.list("HMGET", "h", "n", "m", "new") == ["1.5", "1.5", "0.5"])
        #expect(try target.text("HGET", "new", "f") == "0.5")
        try apply("HGETEX h PXAT 1 FIELDS 1 b")
        #expect(try target.list("HMGET", "h", "b") == ["nil"])
    }

    @Test func `RENAME over a key with a TTL takes the renamed key's TTL from v1_38 on`() async throws {
        let target = try await TargetUnderTest(setUp: [
            ["SET", "a", "1", "PXAT", "2000000000001"], ["SET", "b", "2", "PXAT", "2000000000002"],
            ["SET", "c", "3"], ["SET", "d", "4", "PXAT", "2000000000004"],
        ])
        #expect(try target.apply(["RENAME", "a", "b"], source: .v140) == .written)
        #expect(try target.apply(["RENAME", "c", "d"], source: .v140) == .written)
        #expect(try target.list("MGET", "b", "d") == ["1", "3"])
        #expect(try ["b", "d"].map { try target.integer("PEXPIRETIME", $0) } == [2_000_000_000_001, -1])
    }

    @Test func `a PEXPIREAT of about now is taken literally from v1_40 on`() async throws {
        let target = try await TargetUnderTest(setUp: ["a", "b", "c"].map { ["SET", $0, "v", "EX", "1000"] })
        #expect(try target.apply(["PEXPIREAT", "a", "\(now + 1_999)"], source: .v140) == .written)
        #expect(try target.apply(["PEXPIREAT", "b", "1500000000000"], source: .v140) == .written)
        #expect(try target.apply(["PEXPIREAT", "c", "0"], source: .v140) == .written)
        #expect(try target.integer("PEXPIRETIME", "a") == Int(now) + 1_999)
        #expect(try target.integer("EXISTS", "b") == 0)
        #expect(try target.integer("PEXPIRETIME", "c") == -1)
    }

    @Test func `a store keeps its destination's TTL before v1_37, and has rounded scores until v1_40`() throws {
        func outcome(_ command: String, _ source: SourceBehaviour) throws -> RewriteOutcome {
            var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: source)
            _ = try rewriter.rewrite(words("DEL d").map { Array($0.utf8) }, transactionID: 6, into: CommandBatch())
            return try rewriter.rewrite(
                words(command).map { Array($0.utf8) }, transactionID: 6, into: CommandBatch())
        }
        for source in [SourceBehaviour.v136, .v140] {
            #expect(try outcome("ZADD d 1 a", source) == .writtenDiverging(.storedScores))
        }
        #expect(try outcome("SADD d a", .v136) == .writtenDiverging(.storedExpiry))
        #expect(try outcome("SADD d a", .v137) == .written)
        #expect(try outcome("ZADD d 1 a", SourceBehaviour(version: nil)) == .written)
    }

    /// Elements with TTLs that df2redis keeps: the scripts alone, without a flow.
    @Test func `TTLs kept by df2redis follow HSETEX, HGETEX and the SADDEX of each release`() async throws {
        let target = try await TargetUnderTest(setUp: [["SADD", "s", "a", "b"], ["HSET", "h", "x", "1"]])
        let expiry = ElementExpiry(task: "t", flow: 0, hasNativeFields: false)
        let window = ExecutionWindow(earliest: now - 200, latest: now)
        func apply(_ line: String, _ write: (borrowing JournalCommand, CommandBatch) -> RewriteOutcome) throws {
            var encoded = ByteBuffer()
            encoded.append(journalCommand: words(line), transactionID: 0)
            var reader = ByteReader(encoded.bytes)
            guard case .command(let command)? = try reader.readJournalRecord(maxPayloadBytes: 1 << 20) else { return }
            let batch = CommandBatch()
            #expect(write(command, batch) == .written, "\(line)")
            #expect(try target.send(batch) == .applied([]), "\(line)")
        }
        func set(_ line: String) throws {
            try apply(line) { expiry.setFields($0, in: window, into: $1) }
        }
        func get(_ line: String) throws {
            try apply(line) { expiry.expireReadFields($0, in: window, into: $1) }
        }
        func deadlines(_ key: String) throws -> [String] {
            try target.list("ZRANGE", "df2redis:ttl:t:\(key)", "0", "-1", "WITHSCORES")
        }
        try apply("SADDEX s 100 a new") { expiry.addMembers($0, in: window, keepsPermanent: true, into: $1) }
        #expect(try deadlines("s") == ["new", "\(now + 100_000)"])
        try apply("SADDEX s 100 a") { expiry.addMembers($0, in: window, keepsPermanent: false, into: $1) }
        try apply("SADDEX s KEEPTTL 200 a") { expiry.addMembers($0, in: window, keepsPermanent: false, into: $1) }
        #expect(try deadlines("s") == ["a", "\(now + 100_000)", "new", "\(now + 100_000)"])

        try set("HSETEX h EX 100 FIELDS 2 a 1 b 2")
        try set("HSETEX h KEEPTTL FIELDS 2 a 3 c 4")
        try set("HSETEX h FIELDS 1 b 5")
        try set("HSETEX h FNX EX 100 FIELDS 2 a 6 d 6")
        try set("HSETEX h FXX EX 300 FIELDS 2 a 7 c 7")
        #expect(try deadlines("h") == ["a", "\(now + 300_000)", "c", "\(now + 300_000)"])
        #expect(try target.list("HMGET", "h", "a", "b", "c", "d", "x") == ["7", "5", "7", "nil", "1"])
        try get("HGETEX h PERSIST FIELDS 1 a")
        try get("HGETEX h PX 1500 FIELDS 2 b nothing")
        #expect(try deadlines("h") == ["b", "\(now + 2_000)", "c", "\(now + 300_000)"])
        try get("HGETEX h PXAT \(now - 5_000) FIELDS 1 c")
        #expect(try target.list("HMGET", "h", "a", "b", "c") == ["7", "5", "nil"])
        #expect(try deadlines("h") == ["b", "\(now + 2_000)"])
    }
}
