import Lab
import Redis
import Testing
import Wire

/// The rows of Protocol 5.4 to 5.6 that need care, run on a real server.
@Suite struct `Journal records that a Redis cannot take unchanged` {
    private let now = TargetUnderTest.now

    // MARK: Strings

    @Test func `SET loses STICK and _MCFLAGS and keeps the rest`() async throws {
        let target = try await TargetUnderTest()
        #expect(try target.apply(words("SET a 1 STICK")) == .written)
        #expect(try target.apply(words("SET b 2 PXAT 2000000000000 _MCFLAGS 42")) == .written)
        #expect(try target.apply(words("SET b 3 KEEPTTL STICK")) == .written)
        #expect(try target.apply(words("SET _MCFLAGS STICK")) == .written, "key and value are no options")
        #expect(try target.list("MGET", "a", "b", "_MCFLAGS") == ["1", "3", "STICK"])
        #expect(try target.integer("PEXPIRETIME", "b") == 2_000_000_000_000)
        #expect(try target.integer("PEXPIRETIME", "a") == -1)
    }

    @Test func `PREPEND puts bytes in front, keeps the TTL, and creates a missing key`() async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "k", "tail", "PXAT", "2000000000000"]])
        #expect(try target.apply([Array("PREPEND".utf8), Array("k".utf8), [0, 255, 13, 10]]) == .written)
        #expect(try target.apply(words("PREPEND new v")) == .written)
        #expect(try target.client.command("GET", "k").bytes == [0, 255, 13, 10] + Array("tail".utf8))
        #expect(try target.integer("PEXPIRETIME", "k") == 2_000_000_000_000)
        #expect(try target.text("GET", "new") == "v")
    }

    @Test(arguments: [
        ("0.1", "0.2", "0.30000000000000004"), ("5", "-5", "0"), ("0", "1e20", "100000000000000000000"),
        ("0", "1e21", "1e+21"), ("0", "1e-6", "0.000001"), ("0", "-1e-7", "-1e-7"), ("0", "0.000001234", "0.000001234"),
        ("0", "123456789012345678", "123456789012345680"), ("0", "3.0e3", "3000"), ("0", "5e-324", "5e-324"),
        ("0", "1.7976931348623157e308", "1.7976931348623157e+308"), ("10.5", "0.25", "10.75"), ("1e1", "1", "11"),
        ("3.0", "1.000", "4"), ("0", "-123e-9", "-1.23e-7"), ("99999.999", "0.001", "100000"),
    ])
    func `floats are added in double, and written as a v1.36.0 master writes them`(
        _ old: String, _ by: String, _ sum: String
    ) async throws {
        let target = try await TargetUnderTest(setUp: [
            ["SET", "k", old, "PXAT", "2000000000000"], ["HSET", "h", "f", old],
        ])
        #expect(try target.apply(["INCRBYFLOAT", "k", by]) == .written)
        #expect(try target.apply(["HINCRBYFLOAT", "h", "f", by]) == .written)
        #expect(try target.apply(["INCRBYFLOAT", "new", by]) == .written)
        #expect(try target.text("GET", "k") == sum)
        #expect(try target.text("HGET", "h", "f") == sum)
        #expect(try target.integer("PEXPIRETIME", "k") == 2_000_000_000_000)
        if old == "0" { #expect(try target.text("GET", "new") == sum) }
    }

    @Test(arguments: [
        ("BITFIELD k OVERFLOW SAT INCRBY u8 0 -5", true), ("BITFIELD k overflow sat incrby u63 #1 -5", true),
        ("BITFIELD k GET u8 0 OVERFLOW SAT SET u8 0 7 INCRBY u8 0 -8", true),
        ("BITFIELD k OVERFLOW SAT INCRBY i8 0 -5 INCRBY u4 0 -1", true),
        ("BITFIELD k OVERFLOW SAT INCRBY u8 0 5", false), ("BITFIELD k OVERFLOW SAT INCRBY i8 0 -5", false),
        ("BITFIELD k OVERFLOW SAT SET u8 0 -5", false), ("BITFIELD k INCRBY u8 0 -5", false),
        ("BITFIELD k OVERFLOW SAT OVERFLOW WRAP INCRBY u8 0 -5", false),
        ("BITFIELD k OVERFLOW FAIL INCRBY u8 0 -5", false), ("BITFIELD k", false),
    ])
    func `a BITFIELD that may saturate an unsigned number below 0 is reported`(_ line: String, isReported: Bool) throws
    {
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v140)
        let outcome = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: CommandBatch())
        #expect(outcome == (isReported ? .writtenDiverging(.saturatedBits) : .written))
    }

    @Test(arguments: [
        ("JSON.MERGE k $.new 5", true), ("JSON.MERGE k $ {\"a\":1}", false), ("JSON.MERGE k . {}", false),
        ("JSON.NUMINCRBY k $.a 5e-1", true), ("JSON.NUMINCRBY k $.a 1.5", true), ("JSON.NUMINCRBY k $.a -7", false),
        ("JSON.NUMMULTBY k $.a 2", false), ("JSON.NUMMULTBY k $.a 0.5", true), ("JSON.SET k $.a 0.5", false),
        ("JSON.DEL k", false), ("JSON.DEL k $[*]", true), ("JSON.SET k $[\"a\",\"b\"] 1", true),
        ("JSON.CLEAR k $..a", true),
        ("JSON.ARRAPPEND k $.a[0].b 1", false), ("JSON.ARRTRIM k $.a[?(@.b>1)] 0 1", true), ("JSON.DEL k .a.b", false),
        ("JSON.MSET k $ 1 l $.* 2", true), ("JSON.MSET k $ [1,2] l $.a 2", false),
    ])
    func `JSON commands that RedisJSON may handle differently are reported`(_ line: String, isReported: Bool) throws {
        var profile = TargetUnderTest.redis70
        profile.hasJSON = true
        var rewriter = JournalRewriter(profile: profile, source: .v140)
        let outcome = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: CommandBatch())
        #expect(outcome == (isReported ? .writtenDiverging(.jsonModules) : .written))
    }

    @Test(arguments: [
        ("JSON.SET k $ 1", ["k"]), ("JSON.SET k . 1 XX", ["k"]), ("JSON.SET k $ 1 NX", []), ("JSON.SET k $.a 1", []),
        ("JSON.MERGE k $ 1", []), ("JSON.MSET k $ 1 l $.a 2 m . 3", ["k", "m"]), ("JSON.SET k", []),
        ("JSON.MSET k", []),
    ])
    func `a whole document that replaces another ends the TTL of its key`(_ line: String, keys: [String]) throws {
        var profile = TargetUnderTest.redis70
        profile.hasJSON = true
        var rewriter = JournalRewriter(profile: profile, source: .v140)
        let batch = CommandBatch()
        _ = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch)
        let labels = (0..<batch.commandCount).map { batch.label(ofCommand: $0) }
        #expect(labels.dropFirst().map(\.name) == keys.map { _ in "PERSIST" })
        #expect(labels.dropFirst().map(\.key) == keys.map { "\"\($0)\"" })
    }

    // MARK: Deadlines

    @Test func `a PEXPIREAT of about now means a plain GETEX, 0 means PERSIST, long ago means DEL`() async throws {
        let target = try await TargetUnderTest(
            setUp: ["a", "b", "c", "d", "e", "f"].map { ["SET", $0, "v", "EX", "1000"] })
        let before = try target.integer("PEXPIRETIME", "a")
        #expect(try target.apply(["PEXPIREAT", "a", "\(now)"]) == .nothing)
        #expect(try target.apply(["PEXPIREAT", "b", "\(now + 1_999)"]) == .nothing)
        #expect(try target.apply(["PEXPIREAT", "c", "\(now - 3_600_000)"]) == .skippedDiverging(.expiryInThePast))
        #expect(try target.apply(["PEXPIREAT", "d", "0"]) == .written)
        #expect(try target.apply(["PEXPIREAT", "e", "1"]) == .written)
        #expect(try target.apply(["PEXPIREAT", "f", "\(now + 3_000)"]) == .written)
        #expect(try target.integer("PEXPIRETIME", "a") == before)
        #expect(try target.integer("PEXPIRETIME", "c") ?? 0 > 0)
        #expect(try target.integer("PEXPIRETIME", "d") == -1)
        #expect(try target.integer("EXISTS", "e") == 0)
        #expect(try target.integer("PEXPIRETIME", "f") == Int(now) + 3_000)
    }

    @Test(arguments: [(0, 1), (500, 2), (5_000, 2)] as [(Int64, Int)])
    func `the margin for taking a PEXPIREAT as a plain GETEX can be set`(_ margin: Int64, _ kept: Int) throws {
        var rewriter = JournalRewriter(
            profile: TargetUnderTest.redis70, source: .v137, expiryMargin: margin)
        let outcomes = try [0, 500, 5_001 as Int64].map {
            try rewriter.rewrite(["PEXPIREAT", "k", "\(now + $0)"].map { Array($0.utf8) }, into: CommandBatch())
        }
        #expect(outcomes.count { $0 == .nothing } == kept)
    }

    @Test(arguments: [nil] + [RedisServer.valkeyBinary, RedisServer.newerBinary].filter { $0 != nil })
    func `a float is not added to a text, and no sum without a finite number is written`(
        _ binary: String?
    ) async throws {
        let target = try await TargetUnderTest(
            setUp: [["HSET", "h", "f", "abc"], ["SET", "s", "abc"], ["SET", "big", "1.7e308"]], binary: binary)
        let profile = binary == nil ? TargetUnderTest.redis70 : TargetUnderTest.redis74
        for (line, refusal) in [
            ("HINCRBYFLOAT h f 1.5", "ERR hash value is not a float"),
            ("INCRBYFLOAT s 1.5", "ERR value is not a valid float"),
            ("INCRBYFLOAT new inf", "ERR value is not a valid float"),
            ("INCRBYFLOAT new -inf", "ERR value is not a valid float"),
            ("INCRBYFLOAT new nan", "ERR value is not a valid float"),
            ("INCRBYFLOAT new 1e400", "ERR value is not a valid float"),
            ("INCRBYFLOAT new x", "ERR value is not a valid float"),
            ("INCRBYFLOAT big 1.7e308", "ERR value is not a valid float"),
            ("HINCRBYFLOAT new f inf", "ERR hash value is not a float"),
        ] {
            var rewriter = JournalRewriter(profile: profile, source: .v140)
            let batch = CommandBatch()
            _ = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch)
            #expect(try target.send(batch) == .applied([.init(command: 0, kind: .error(refusal))]))
        }
        #expect(try target.text("HGET", "h", "f") == "abc")
        #expect(try target.integer("EXISTS", "new") == 0)
    }

    @Test func `RENAME over a key with a TTL keeps that TTL if the renamed key has one too`() async throws {
        let target = try await TargetUnderTest(setUp: [
            ["SET", "a", "1", "PXAT", "2000000000001"], ["SET", "b", "2", "PXAT", "2000000000002"],
            ["SET", "c", "3"], ["SET", "d", "4", "PXAT", "2000000000004"], ["SET", "e", "5", "PXAT", "2000000000005"],
        ])
        for (from, to) in [("a", "b"), ("c", "d"), ("e", "new"), ("new", "new")] {
            #expect(try target.apply(["RENAME", from, to]) == .written)
        }
        #expect(try target.list("MGET", "b", "d", "new") == ["1", "3", "5"])
        #expect(
            try ["b", "d", "new"].map { try target.integer("PEXPIRETIME", $0) } == [
                2_000_000_000_002, -1, 2_000_000_000_005,
            ])
    }

    @Test func `RENAMENX and SETNX, journalled only on success, replace keys that the source lacks`() async throws {
        let target = try await TargetUnderTest(setUp: [
            ["SET", "a", "1", "PXAT", "2000000000001"], ["SET", "b", "foreign", "PXAT", "2000000000002"],
            ["RPUSH", "c", "foreign"],
        ])
        #expect(try target.apply(["RENAMENX", "a", "b"]) == .written)
        #expect(try target.apply(["SETNX", "c", "3"]) == .written)
        #expect(try target.list("MGET", "a", "b", "c") == ["nil", "1", "3"])
        #expect(try target.integer("PEXPIRETIME", "b") == 2_000_000_000_001)
    }

    // MARK: RESTORE

    @Test func `RESTORE counts a relative TTL from the arrival, and replaces any type`() async throws {
        let target = try await TargetUnderTest(setUp: [
            ["SET", "s", "value"], ["LPUSH", "to", "x"], ["LPUSH", "past", "x"],
        ])
        let payload = try target.dump("s")
        func restore(_ key: String, _ ttl: Int64, _ options: String...) throws -> RewriteOutcome {
            try target.apply(
                ["RESTORE", key, "\(ttl)"].map { Array($0.utf8) } + [payload] + options.map { Array($0.utf8) })
        }
        #expect(try restore("to", 5_000) == .written)
        #expect(try restore("absolute", now + 7_000, "REPLACE", "ABSTTL", "STICK") == .written)
        #expect(try restore("never", 0, "IDLETIME", "5") == .written)
        // Passed when it arrived, not when it was written: the target decides.
        #expect(try restore("late", now - 5_000, "ABSTTL", "REPLACE") == .written)
        #expect(try restore("past", 1_500_000_000_000, "ABSTTL", "REPLACE") == .written)
        #expect(try target.list("MGET", "to", "absolute", "never", "past") == ["value", "value", "value", "nil"])
        #expect(try target.integer("PEXPIRETIME", "to") == Int(now) + 5_000)
        #expect(try target.integer("PEXPIRETIME", "absolute") == Int(now) + 7_000)
        #expect(try target.integer("PEXPIRETIME", "never") == -1)
        #expect(try target.integer("PEXPIRETIME", "late") == Int(now) - 5_000)
        #expect(try target.integer("EXISTS", "past") == 0)
    }

    @Test func `RESTORE of a type that only Dragonfly has is unsupported by name`() async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "k", "old"]])
        func payload(_ type: RDBType, _ body: (inout ByteBuffer) -> Void) -> [UInt8] {
            var bytes = ByteBuffer()
            bytes.append(type.rawValue)
            body(&bytes)
            bytes.append(littleEndian: 9 as UInt16)
            var checksum = CRC64()
            checksum.update(bytes.bytes)
            bytes.append(littleEndian: checksum.value)
            return bytes.withUnsafeBytes { Array($0) }
        }
        func text(_ text: String, _ bytes: inout ByteBuffer) { bytes.append(rdbString: Array(text.utf8).span.bytes) }
        func restore(_ key: String, _ payload: [UInt8]) throws -> RewriteOutcome {
            try target.apply(["RESTORE", key, "0"].map { Array($0.utf8) } + [payload])
        }
        let document = payload(.json) { text("{}", &$0) }
        #expect(try restore("doc", document) == .unsupported(.json))
        let filter = payload(.bloomFilter) { $0.append(rdbLength: 0) }
        #expect(try restore("filter", filter) == .unsupported(.bloom))
        var broken = payload(.string) { text("v", &$0) }
        broken[broken.count - 1] ^= 1
        #expect(try restore("k", broken) == .unsupported(.payload))
        #expect(try target.text("GET", "k") == "old")
        #expect(try target.integer("DBSIZE") == 1)
    }

    @Test func `RESTORE of an unknown type is sent only to a target that may know it`() throws {
        var bytes = ByteBuffer()
        bytes.append(99 as UInt8)
        bytes.append(littleEndian: 12 as UInt16)
        var checksum = CRC64()
        checksum.update(bytes.bytes)
        bytes.append(littleEndian: checksum.value)
        let payload = bytes.withUnsafeBytes { Array($0) }
        for (profile, expected) in [
            (TargetUnderTest.redis70, RewriteOutcome.unsupported(.payload)), (TargetUnderTest.redis74, .written),
        ] {
            var rewriter = JournalRewriter(profile: profile, source: .v137)
            let arguments = ["RESTORE", "k", "0"].map { Array($0.utf8) } + [payload]
            #expect(try rewriter.rewrite(arguments, into: CommandBatch()) == expected)
        }
    }

    @Test(arguments: ["SORT src ALPHA STORE dst", "GEORADIUSBYMEMBER src a 200 km STORE dst"], [true, false])
    func `a STORE leaves its destination alone if its source is missing, as Dragonfly does`(
        _ line: String, isInSnapshot: Bool
    ) async throws {
        let target = try await TargetUnderTest(setUp: [["SET", "dst", "old"], ["GEOADD", "geo", "15", "37", "a"]])
        func run() throws -> RewriteOutcome {
            var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v137)
            rewriter.isInSnapshot = isInSnapshot
            let batch = CommandBatch()
            let outcome = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch)
            #expect(try target.send(batch) == .applied([]))
            return outcome
        }
        #expect(try run() == .writtenDiverging(isInSnapshot ? .storeInSnapshot : .storeInDoubt))
        #expect(try target.text("GET", "dst") == "old")
        try target.client.command("COPY", "geo", "src")
        #expect(try run() == .writtenDiverging(isInSnapshot ? .storeInSnapshot : .storeInDoubt))
        #expect(try target.text("TYPE", "dst") == (line.hasPrefix("SORT") ? "list" : "zset"))
    }

    // MARK: TTLs of members and fields

    @Test func `SADDEX adds its members without their TTL`() async throws {
        let target = try await TargetUnderTest()
        #expect(try target.apply(words("SADDEX s 100 a b")) == .writtenWithout(.memberExpiry))
        #expect(try target.apply(words("SADDEX s KEEPTTL 100 c 7")) == .writtenWithout(.memberExpiry))
        #expect(try target.list("SMEMBERS", "s").sorted() == ["7", "a", "b", "c"])
    }

    @Test func `HSETEX sets its fields without their TTL, and with NX only new ones`() async throws {
        let target = try await TargetUnderTest(setUp: [["HSET", "h", "a", "old"]])
        #expect(try target.apply(words("HSETEX h 100 b 2")) == .writtenWithout(.fieldExpiry))
        #expect(try target.apply(words("HSETEX h NX KEEPTTL 100 a new c 3")) == .writtenWithout(.fieldExpiry))
        #expect(try target.list("HMGET", "h", "a", "b", "c") == ["old", "2", "3"])
    }

    @Test func `field TTLs are unsupported by Redis 7_0, but a TTL of 0 deletes`() async throws {
        let target = try await TargetUnderTest(setUp: [["HSET", "h", "a", "1", "b", "2", "c", "3"]])
        #expect(try target.apply(words("FIELDEXPIRE h 100 a b")) == .unsupported(.fieldExpiry))
        #expect(try target.apply(words("HEXPIRE h 100 FIELDS 1 a")) == .unsupported(.fieldExpiry))
        #expect(try target.apply(words("HEXPIRE h 0 FIELDS 2 a b")) == .written)
        #expect(try target.list("HKEYS", "h") == ["c"])
    }

    @Test(arguments: [
        ("FIELDEXPIRE h 10 a b", ["HPEXPIREAT h 1800000010000 FIELDS 2 a b"], RewriteOutcome.written),
        ("HEXPIRE h 10 NX FIELDS 1 a", ["HPEXPIREAT h 1800000010000 NX FIELDS 1 a"], .written),
        ("HSETEX h 10 a 1 b 2", ["HSET h a 1 b 2", "HPEXPIREAT h 1800000010000 FIELDS 2 a b"], .written),
        (
            "HSETEX h PXAT 1800000010001 FIELDS 1 a 1", ["HSET h a 1", "HPEXPIREAT h 1800000011000 FIELDS 1 a"],
            .written
        ),
        ("HSETEX h FIELDS 2 a 1 b 2", ["HSET h a 1 b 2"], .written),
        ("HGETEX h FIELDS 1 a", [], .nothing), ("HGETEX h PERSIST FIELDS 1 a", ["HPERSIST h FIELDS 1 a"], .written),
        ("HGETEX h EX 10 FIELDS 2 a b", ["HPEXPIREAT h 1800000010000 FIELDS 2 a b"], .written),
    ])
    func `Redis 7_4 (by its profile, Debian 12 has no such server) gets absolute field TTLs`(
        _ line: String, _ lines: [String], _ expected: RewriteOutcome
    ) throws {
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis74, source: .v137)
        let batch = CommandBatch()
        #expect(try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch) == expected)
        #expect(try batch.lines() == lines)
    }

    // MARK: Streams

    @Test func `a claim creates its consumer, and is reported if idle times may change it`() async throws {
        let target = try await TargetUnderTest(setUp: [
            ["XADD", "x", "1-1", "f", "v"], ["XGROUP", "CREATE", "x", "g", "0"],
        ])
        #expect(try target.apply(words("XCLAIM x g c1 0 9-9")) == .written)
        #expect(try target.apply(words("XCLAIM x g c2 0 1-1 FORCE JUSTID")) == .written)
        #expect(try target.apply(words("XAUTOCLAIM x g c3 60000 0")) == .writtenDiverging(.claimIdleTimes))
        #expect(
            try target.apply(words("XACK x g 1-1"), source: .v136) == .writtenDiverging(.consumerGroupReads)
        )
        let consumers = try target.client.command("XINFO", "CONSUMERS", "x", "g").array ?? []
        #expect(consumers.compactMap { $0.array?[1].text } == ["c1", "c2", "c3"])
        #expect(try target.client.command("XPENDING", "x", "g").array?.first?.int == 0)
    }

    @Test func `XGROUP CREATE is sent without the words that the source ignores`() throws {
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v140)
        let batch = CommandBatch()
        for line in [
            "XGROUP CREATE x g 0 ENTRIESREAD 5", "XGROUP CREATE x h $ MKSTREAM ENTRIESREAD 5",
            "XGROUP CREATE x i 0 MKSTREAM", "XGROUP CREATE x j $ FOO", "XGROUP CREATE x k $ FOO mkstream BAR",
            "XGROUP SETID x g 1-1 ENTRIESREAD 7",
        ] {
            #expect(try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch) == .written)
        }
        let bytes = batch.bytes.withUnsafeBytes { Array($0) }
        var reader = ByteReader(bytes.span.bytes)
        var lines: [String] = []
        while let value = try reader.readRESPValue() {
            lines.append((value.array ?? []).compactMap(\.text).joined(separator: " "))
        }
        #expect(
            lines.filter { $0.hasPrefix("XGROUP") } == [
                "XGROUP CREATE x g 0", "XGROUP CREATE x h $ MKSTREAM", "XGROUP CREATE x i 0 MKSTREAM",
                "XGROUP CREATE x j $", "XGROUP CREATE x k $ mkstream",
                "XGROUP SETID x g 1-1 ENTRIESREAD 7",
            ])
    }

    // MARK: Several shards

    @Test(arguments: [
        ("SORT l BY w_* STORE d", Divergence.sortByPattern, true),
        ("SORT l GET w_* GET # STORE d", .sortByPattern, true), ("SORT l GET # STORE d", .storeInDoubt, true),
        ("SORT l BY nosort STORE d", .storeInDoubt, false), ("SORT l ALPHA STORE d", .storeInDoubt, false),
    ])
    func `a SORT by other keys is reported if they may be in other shards, and not sent to a cluster`(
        _ line: String, _ amongOthers: Divergence, isRefusedInCluster: Bool
    ) throws {
        var cluster = TargetUnderTest.redis70
        cluster.masterCount = 3
        for (profile, hasSeveralFlows, expected) in [
            (TargetUnderTest.redis70, false, RewriteOutcome.writtenDiverging(.storeInDoubt)),
            (TargetUnderTest.redis70, true, .writtenDiverging(amongOthers)),
            (
                cluster, false,
                isRefusedInCluster ? .skippedDiverging(.sortByPattern) : .writtenDiverging(.storeInDoubt)
            ),
        ] {
            var rewriter = JournalRewriter(profile: profile, source: .v137)
            rewriter.hasSeveralFlows = hasSeveralFlows
            let batch = CommandBatch()
            let outcome = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch)
            #expect(outcome == expected, "\(line)")
        }
    }

    @Test(arguments: [
        ("RENAME a b", true), ("RENAME {t}a {t}b", false), ("RENAMENX a b", true), ("SMOVE a b m", true),
        ("LMOVE a b LEFT RIGHT", true), ("RPOPLPUSH a a", false), ("SUNIONSTORE d a b", true), ("PFMERGE d a", true),
        ("BITOP AND d a", true), ("ZUNIONSTORE d 2 a b", true), ("ZUNIONSTORE {t}d 1 {t}a", false),
        ("COPY a b", true), ("MOVE a 1", false), ("MSET a 1 b 2", false), ("DEL a b", false), ("INCR a", false),
        ("SORT a STORE b", true), ("SORT {t}a STORE {t}b", false), ("GEORADIUS a 1 2 3 km STORE b", true),
    ])
    func `commands over several slots are left out if values cannot be copied between slots`(
        _ line: String, isLeftOut: Bool
    ) throws {
        for leavesOut in [false, true] {
            var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v137)
            rewriter.leavesOutCrossing = leavesOut
            let batch = CommandBatch()
            let outcome = try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch)
            #expect((outcome == .skippedDiverging(.crossSlot)) == (leavesOut && isLeftOut), "\(outcome)")
            #expect(batch.isEmpty == (leavesOut && isLeftOut))
        }
    }

    @Test(arguments: [
        ("SORT l ALPHA STORE d", 0 as UInt64, RewriteOutcome.writtenDiverging(.storeInDoubt)),
        ("SORT l LIMIT 0 5 BY w_* GET # STORE d", 7, .writtenDiverging(.storeInDoubt)),
        // SORT l ALPHA DESC STORE d, with its options in another shard.
        ("SORT n STORE d", 7, .writtenDiverging(.storeInDoubt)),
        ("SORT l STORE DESC", 7, .skippedDiverging(.fragmentedSort)),
        ("SORT l", 0, .nothing), ("SORT l ALPHA DESC", 0, .nothing), ("SORT l", 7, .skippedDiverging(.fragmentedSort)),
        ("SORT src dst", 7, .skippedDiverging(.fragmentedSort)),
        ("SORT ALPHA STORE", 7, .skippedDiverging(.fragmentedSort)),
        ("GEORADIUS geo 15 37 200 km STORE d", 0, .writtenDiverging(.storeInDoubt)),
        ("GEORADIUSBYMEMBER geo m 200 km STORE d", 0, .writtenDiverging(.storeInDoubt)),
        ("GEORADIUS geo 15 37 200 km", 0, .nothing), ("GEORADIUSBYMEMBER geo gone 200 km WITHDIST ASC", 7, .nothing),
        ("GEORADIUS geo", 7, .skippedDiverging(.fragmentedGeoRadius)),
        ("GEORADIUS dst STORE", 7, .skippedDiverging(.fragmentedGeoRadius)),
        ("GEORADIUSBYMEMBER geo", 7, .skippedDiverging(.fragmentedGeoRadius)),
    ])
    func `complete SORT and GEORADIUS commands run, fragments do not`(
        _ line: String, _ transactionID: UInt64, _ expected: RewriteOutcome
    ) async throws {
        let target = try await TargetUnderTest(setUp: [
            ["RPUSH", "l", "b", "a"], ["RPUSH", "n", "2", "1"], ["GEOADD", "geo", "15", "37", "m"],
        ])
        #expect(try target.apply(words(line), transactionID: transactionID) == expected)
        #expect(try target.integer("EXISTS", "d") == (expected == .writtenDiverging(.storeInDoubt) ? 1 : 0))
        #expect(try target.integer("EXISTS", "DESC") == 0)
    }

    @Test func `DEL and SADD or ZADD in one transaction may be a store, which is reported`() async throws {
        let target = try await TargetUnderTest()
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v136)
        func outcome(_ line: String, _ transactionID: UInt64) throws -> RewriteOutcome {
            try rewriter.rewrite(words(line).map { Array($0.utf8) }, transactionID: transactionID, into: CommandBatch())
        }
        #expect(try outcome("DEL d", 5) == .written)
        #expect(try outcome("SADD d a", 5) == .writtenDiverging(.storedExpiry))
        #expect(try outcome("SADD d b", 5) == .written)
        #expect(try outcome("DEL d", 6) == .written)
        #expect(try outcome("ZADD d 1 a", 6) == .writtenDiverging(.storedScores))
        #expect(try outcome("DEL d", 0) == .written)
        #expect(try outcome("SADD d a", 0) == .written)
        #expect(try outcome("DEL d", 7) == .written)
        #expect(try outcome("SADD e a", 7) == .written)
        // A script over one shard has no transaction; a client's own ZADD without a rounded score is not in doubt.
        for (scores, isReported) in [
            ("1.11111e+08 a", true), ("2 b 0.123457 a", true), ("1 a", false), ("1234567 a", false), ("-1.5 a", true),
            ("9.0072e+15 a", true), ("12345 a 17 b", false), ("123456 a", true), ("inf a", false),
        ] {
            #expect(try outcome("DEL d", 0) == .written)
            #expect(try outcome("ZADD d \(scores)", 0) == (isReported ? .writtenDiverging(.storedScores) : .written))
        }
        #expect(try target.integer("DBSIZE") == 0)
    }

    // MARK: Lists

    @Test func `LINSERT, and LSET of a large value, may reorder a list of a source up to v1_39`() throws {
        func outcome(_ command: [String], _ source: SourceBehaviour) throws -> RewriteOutcome {
            var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: source)
            return try rewriter.rewrite(command.map { Array($0.utf8) }, into: CommandBatch())
        }
        let large = String(repeating: "x", count: 4097)
        for command in [["LINSERT", "l", "BEFORE", "a", "b"], ["LSET", "l", "-2", large]] {
            #expect(try outcome(command, .v136) == .writtenDiverging(.listOrder))
            #expect(try outcome(command, .v140) == .written)
        }
        #expect(try outcome(["LSET", "l", "1", "x"], .v136) == .written)
        #expect(try outcome(["LPUSH", "l", large, large], .v136) == .written)
    }

    // MARK: ZREMRANGEBYLEX

    @Test(arguments: [("0", false), ("1", true), ("inf", true)])
    func `ZREMRANGEBYLEX removes members, and reports different scores`(_ score: String, isInDoubt: Bool) async throws {
        let target = try await TargetUnderTest(setUp: [["ZADD", "z", "0", "a", "0", "b", score, "c"]])
        let batch = CommandBatch()
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v140)
        let commands = ["ZREMRANGEBYLEX z [a (b", "ZREMRANGEBYLEX missing - +"]
        for command in commands {
            #expect(try rewriter.rewrite(words(command).map { Array($0.utf8) }, into: batch) == .written)
        }
        let doubt = UnexpectedReply(command: 0, kind: .inDoubt(ReplyDoubt(.lexOrder, command: "ZREMRANGEBYLEX")))
        #expect(try target.send(batch) == .applied(isInDoubt ? [doubt] : []))
        #expect(try target.integer("ZCARD", "z") == 2)
    }

    // MARK: ZADD with GT or LT

    /// The set-up has the member `m` with the score 5; the last argument is the score that the source has afterwards.
    @Test(arguments: [
        ("ZADD z GT 3 m", "3"), ("ZADD z LT CH 7 m", "7"), ("ZADD z XX GT 3 m", "3"), ("ZADD z GT INCR -2 m", "3"),
        ("ZADD z gt 9 m 1 n", "9"), ("ZADD z XX LT 9 n", "5"), ("ZADD z GT -inf m", "-inf"), ("ZADD z NX 3 m", "5"),
    ])
    func `ZADD ignores GT and LT in a sorted set that the source has as a skip list`(
        _ line: String, _ score: String
    ) async throws {
        let members = (0..<130).flatMap { ["1", "member:\($0)"] }
        let long = String(repeating: "x", count: 33)
        for setUp in [["ZADD", "z", "5", "m"] + members, ["ZADD", "z", "5", "m", "1", long]] {
            let target = try await TargetUnderTest(setUp: [setUp])
            #expect(try target.apply(words(line), source: .v140) == .written)
            #expect(try target.text("ZSCORE", "z", "m") == score)
        }
    }

    @Test(arguments: [
        ("ZADD z GT 3 m", "5", true), ("ZADD z GT 9 m", "9", false), ("ZADD z LT 3 m", "3", false),
        ("ZADD z GT 5 m", "5", false), ("ZADD z GT 3 n", "5", false), ("ZADD z GT 9 m 3 m", "9", true),
        ("ZADD z XX GT 3 n", "5", false), ("ZADD z GT 3 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "5", false),
    ])
    func `ZADD obeys GT and LT in a small sorted set, and reports a score that stays`(
        _ line: String, _ score: String, isInDoubt: Bool
    ) async throws {
        let target = try await TargetUnderTest(setUp: [["ZADD", "z", "5", "m"]])
        let batch = CommandBatch()
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v140)
        #expect(try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch) == .written)
        let doubt = UnexpectedReply(command: 0, kind: .inDoubt(ReplyDoubt(.ignoredComparison, command: "ZADD")))
        #expect(try target.send(batch) == .applied(isInDoubt ? [doubt] : []))
        #expect(try target.text("ZSCORE", "z", "m") == score)
    }

    @Test func `ZADD with GT of a newer source is sent unchanged`() throws {
        let batch = CommandBatch()
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: SourceBehaviour(version: nil))
        #expect(try rewriter.rewrite(words("ZADD z GT 3 m").map { Array($0.utf8) }, into: batch) == .written)
        #expect(batch.label(ofCommand: 0).name == "ZADD")
    }

    @Test(arguments: [0, 5]) func `a SET of a dense HyperLogLog may be a PFMERGE, whose destination keeps its TTL`(
        transactionID: UInt64
    ) throws {
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v136)
        let dense = Array("HYLL".utf8) + [0] + [UInt8](repeating: 0, count: 16 + 12_288 - 5)
        let outcome = try rewriter.rewrite(
            ["SET", "h"].map { Array($0.utf8) } + [dense], transactionID: transactionID, into: CommandBatch())
        #expect(outcome == .writtenDiverging(.storedExpiry))
    }

    // MARK: What is not for a Redis

    @Test(arguments: [
        ("PING", RewriteOutcome.nothing), ("STICK a b", .nothing), ("SHRINK a", .nothing),
        ("SCRIPT FLAGS abc disable-atomicity", .nothing), ("FT.CREATE i ON HASH", .unsupported(.searchIndex)),
        ("CL.THROTTLE k 1 2 3", .unsupported(.throttle)), ("BF.ADD k v", .unsupported(.bloom)),
        ("CMS.INCRBY k v 1", .unsupported(.bloom)), ("JSON.SET k $ 1", .unsupported(.json)),
        ("NOSUCHCOMMAND k", .unsupported(.unknownCommand)),
        ("A.COMMAND.WITH.A.NAME.LONGER.THAN.ANY.THAT.WE.KNOW k", .unsupported(.unknownCommand)),
        ("FLUSHALL ASYNC", .global(.flushAll)), ("FLUSHDB", .global(.flushDatabase(0))),
        ("DFLYCLUSTER FLUSHSLOTS 0 5 7 7", .global(.flushSlots([0...5, 7...7]))),
        ("DFLYCLUSTER FLUSHSLOTS 5 0", .unsupported(.unknownCommand)),
        ("DFLYCLUSTER OTHER 1 2", .unsupported(.unknownCommand)),
    ])
    func `a command that is not for a Redis is not sent, and has the right outcome`(
        _ line: String, _ expected: RewriteOutcome
    ) throws {
        var rewriter = JournalRewriter(profile: TargetUnderTest.redis70, source: .v137)
        let batch = CommandBatch()
        #expect(try rewriter.rewrite(words(line).map { Array($0.utf8) }, into: batch) == expected)
        #expect(batch.isEmpty)
    }

    @Test func `a script is loaded, and command names are recognised in any case`() async throws {
        let target = try await TargetUnderTest()
        #expect(try target.apply(["SCRIPT", "LOAD", "return 1"]) == .written)
        #expect(
            try target.client.command("SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db").array?[0].int == 1
        )
        #expect(try target.apply(words("set k v")) == .written)
        #expect(try target.text("GET", "k") == "v")
    }
}
