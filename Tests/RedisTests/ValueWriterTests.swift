import Lab
import Redis
import Testing
import Wire

/// A value that is written piece by piece must be the value that a RESTORE gives.
@Suite struct `Values written in pieces` {
    /// The commands that make a key `k`, and the type of its DUMP.
    private static let values: [(type: RDBType, commands: [[String]])] = [
        (.string, [["SET", "k", "v"]]),
        (.string, [["SETRANGE", "k", "70000", "end"]]),
        (.setIntset, [["SADD", "k"] + (-50...50).map { "\($0 * 1_000_000_007)" }]),
        (.set, [["SADD", "k"] + (0..<3000).map { "member \($0)" }]),
        (.hashListpack, [["HSET", "k", "a", "1", "", "empty name", "b", "", "n", "-123456789012"]]),
        (.hash, [["HSET", "k"] + (0..<2000).flatMap { ["field \($0)", "\($0)"] }]),
        (.hash, [["HSET", "k", "large", String(repeating: "x", count: 300_000), "small", "y"]]),
        (.zsetListpack, [["ZADD", "k", "inf", "a", "-inf", "b", "0.1", "c", "-5", "7", "1e300", "d", "5e-324", "e"]]),
        (.zset, [["ZADD", "k"] + (0..<2000).flatMap { ["\(Double($0) / 7)", "member \($0)"] }]),
        (.zset, [["ZADD", "k", "1.1234567890123457", String(repeating: "m", count: 100_000), "2", "n"]]),
        (.list, [["RPUSH", "k"] + (0..<3000).map { "\($0 % 7 == 0 ? "\($0)" : "element \($0)")" }]),
        (.list, [["RPUSH", "k", "a", String(repeating: "x", count: 200_000), "", "b"]]),
        (
            .stream2,
            stream(entries: 300) + [["XDEL", "k", "1-5"], ["XDEL", "k", "3-100"], ["XTRIM", "k", "MAXLEN", "250"]]
        ),
        (
            .stream2,
            stream(entries: 20) + [
                ["XGROUP", "CREATE", "k", "g1", "0"], ["XGROUP", "CREATE", "k", "g2", "1-10", "ENTRIESREAD", "3"],
                ["XGROUP", "CREATECONSUMER", "k", "g1", "idle"],
                ["XREADGROUP", "GROUP", "g1", "c1", "COUNT", "5", "STREAMS", "k", ">"],
                ["XREADGROUP", "GROUP", "g1", "c2", "COUNT", "3", "STREAMS", "k", ">"],
                ["XCLAIM", "k", "g1", "c2", "0", "1-1", "TIME", "1700000000000", "RETRYCOUNT", "9"],
                ["XACK", "k", "g1", "2-2"], ["XSETID", "k", "99-9"],
            ]
        ),
        (.stream2, [["XADD", "k", "5-5", "f", "v"], ["XDEL", "k", "5-5"], ["XGROUP", "CREATE", "k", "g", "0"]]),
        (.stream2, [["XGROUP", "CREATE", "k", "g", "0", "MKSTREAM"]]),
        (.stream2, [["XGROUP", "CREATE", "k", "g", "$", "MKSTREAM"], ["XSETID", "k", "7-7"]]),
    ]

    private static func stream(entries: Int) -> [[String]] {
        (1...entries).map { number in
            let fields = number % 3 == 0 ? ["other", "\(number)", "more", "x"] : ["f", "value \(number)"]
            return ["XADD", "k", "\(number)-\(number)"] + fields
        }
    }

    /// Everything about a stream that can be asked, apart from times.
    private func details(_ target: TargetUnderTest, _ key: String) throws -> String {
        guard try target.text("TYPE", key) == "stream" else { return "" }
        func plain(_ value: RESPValue) -> String {
            if let elements = value.array {
                var parts: [String] = []
                var skips = false
                for element in elements {
                    let text = plain(element)
                    // Times of consumers cannot be set; how nodes are cut is the target's own.
                    if !skips, !["seen-time", "active-time", "radix-tree-keys", "radix-tree-nodes"].contains(text) {
                        parts.append(text)
                    }
                    skips =
                        !skips && ["seen-time", "active-time", "radix-tree-keys", "radix-tree-nodes"].contains(text)
                }
                return "[" + parts.joined(separator: " ") + "]"
            }
            return value.text ?? value.int.map { "\($0)" } ?? "nil"
        }
        return plain(try target.client.command("XINFO", "STREAM", key, "FULL", "COUNT", "0"))
    }

    @Test(arguments: values.indices, [nil, 2_000_000_000_000 as Int64])
    func `equal the value of a RESTORE, whatever the key held before`(_ index: Int, _ expiry: Int64?) async throws {
        let (type, commands) = Self.values[index]
        let target = try await TargetUnderTest(
            type == .set ? ["--set-max-intset-entries", "512"] : [],
            setUp: commands + [["LPUSH", "pieces", "in the way"]])
        let dump = try target.dump("k")
        guard let payload = DumpPayload(dump.span.bytes) else { throw LabError("DUMP gives a payload") }
        #expect(dump[0] == type.rawValue, "the value is of the type that it is meant to be")

        let batch = CommandBatch()
        batch.appendRestore(
            key: Array("whole".utf8).span.bytes, type: type, body: payload.body, expiryMilliseconds: expiry)
        let writer = ValueWriter(
            head: EntryHead(database: 0, expiryMilliseconds: expiry, type: type), key: Array("pieces".utf8).span.bytes,
            profile: TargetUnderTest.redis70, now: TargetUnderTest.now)
        let isWhole = writer.write(payload.body, into: batch)
        #expect(isWhole)
        #expect(try target.send(batch) == .applied([]))

        var whole = try target.entry("whole")
        #expect(whole == (try target.entry("pieces")))
        #expect(try details(target, "whole") == (try details(target, "pieces")))
        #expect(whole?.expireAtMilliseconds == expiry.map { Int($0) } ?? -1)
        whole?.expireAtMilliseconds = -1
        #expect(whole == (try target.entry("k")))
        #expect(writer.lostMemberExpiries == 0)
    }

    @Test(arguments: [false, true]) func `leave an existing key alone if it is guarded`(
        _ exists: Bool
    ) async throws {
        let target = try await TargetUnderTest(
            setUp: [["HSET", "k", "a", "1", "b", "2"]] + (exists ? [["SET", "to", "old"]] : []))
        let dump = try target.dump("k")
        guard let payload = DumpPayload(dump.span.bytes) else { throw LabError("DUMP gives a payload") }
        let batch = CommandBatch()
        batch.reportsConflicts = true
        let writer = ValueWriter(
            head: EntryHead(database: 0, expiryMilliseconds: 2_000_000_000_000, type: .hashListpack),
            key: Array("to".utf8).span.bytes, profile: TargetUnderTest.redis70, now: TargetUnderTest.now,
            guardKey: Array("aside".utf8))
        let isWhole = writer.write(payload.body, into: batch)
        #expect(isWhole)
        guard case .applied(let found) = try target.send(batch) else { throw LabError("it is applied") }
        let conflicts = found.filter { batch.label(ofCommand: $0.command).name == "RENAMENX" }
        #expect(conflicts.map { batch.label(ofCommand: $0.command).key } == (exists ? ["\"to\""] : []))
        #expect(try target.integer("EXISTS", "aside") == 0)
        #expect(try target.text("TYPE", "to") == (exists ? "string" : "hash"))
        #expect(try target.integer("PEXPIRETIME", "to") == (exists ? -1 : 2_000_000_000_000))
    }

    @Test func `lack pending entries of deleted stream entries, which is reported`() async throws {
        let target = try await TargetUnderTest(
            setUp: Self.stream(entries: 3) + [
                ["XGROUP", "CREATE", "k", "g", "0"], ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "k", ">"],
                ["XDEL", "k", "2-2"],
            ])
        let dump = try target.dump("k")
        guard let payload = DumpPayload(dump.span.bytes) else { throw LabError("DUMP gives a payload") }
        let batch = CommandBatch()
        let writer = ValueWriter(
            head: EntryHead(database: 0, expiryMilliseconds: nil, type: .stream2), key: Array("pieces".utf8).span.bytes,
            profile: TargetUnderTest.redis70, now: TargetUnderTest.now)
        let isWhole = writer.write(payload.body, into: batch)
        #expect(isWhole)
        guard case .applied(let found) = try target.send(batch) else { throw LabError("it is applied") }
        #expect(found.map { "\(batch.label(ofCommand: $0.command))" } == ["XCLAIM \"pieces\""])
        #expect(found.map(\.kind) == [.empty])
        #expect(try target.client.command("XPENDING", "pieces", "g").array?.first?.int == 2)
    }

    @Test func `lack a long member that has expired, not the one before it`() async throws {
        let target = try await TargetUnderTest()
        let long = [UInt8](repeating: 0x61, count: 200_000)
        let batch = CommandBatch()
        let writer = ValueWriter(
            head: EntryHead(database: 0, expiryMilliseconds: nil, type: .setWithExpiry),
            key: Array("k".utf8).span.bytes,
            profile: TargetUnderTest.redis70, now: TargetUnderTest.now)
        for (member, expiry) in [
            (Array("before".utf8), nil), (long, TargetUnderTest.now - 1), (Array("behind".utf8), nil),
        ] {
            if member.count > 100 {
                _ = writer.write(.elementBegan(byteCount: member.count), into: batch)
                for half in [Array(member[..<100_000]), Array(member[100_000...])] {
                    _ = writer.write(.elementBytes(half.span.bytes), into: batch)
                }
            } else {
                _ = writer.write(.element(member.span.bytes), into: batch)
            }
            _ = writer.write(.expiry(expiry), into: batch)
        }
        _ = writer.write(.ended, into: batch)
        #expect(try target.send(batch) == .applied([]))
        #expect(try target.list("SMEMBERS", "k").sorted() == ["before", "behind"])
    }

    @Test func `are refused if a stream has a malformed node, as in a RESTORE`() async throws {
        let target = try await TargetUnderTest(["--rdbcompression", "no"], setUp: Self.stream(entries: 5))
        let dump = try target.dump("k")
        guard let payload = DumpPayload(dump.span.bytes) else { throw LabError("DUMP gives a payload") }
        func write(_ body: [UInt8]) -> Bool {
            let writer = ValueWriter(
                head: EntryHead(database: 0, expiryMilliseconds: nil, type: .stream2), key: Array("p".utf8).span.bytes,
                profile: TargetUnderTest.redis70, now: TargetUnderTest.now)
            return writer.write(body.span.bytes, into: CommandBatch())
        }
        var body = payload.body.withUnsafeBytes { Array($0) }
        #expect(write(body))
        // Number of nodes, the node's id, the head of its listpack; then, after six bytes, how many entries live.
        let lives = 1 + 17 + 2 + 6
        #expect(body[lives] == 5, "the node says that it has five entries")
        body[lives] = 6
        #expect(!write(body))
    }

    @Test func `lack expired members and fields, and count other TTLs as lost if the target cannot have them`()
        async throws
    {
        let target = try await TargetUnderTest()
        let now = TargetUnderTest.now
        func write(
            _ type: RDBType, _ profile: TargetProfile, _ elements: [(parts: [String], expiry: Int64?)]
        ) -> (CommandBatch, Int) {
            let batch = CommandBatch()
            let writer = ValueWriter(
                head: EntryHead(database: 0, expiryMilliseconds: nil, type: type), key: Array("k".utf8).span.bytes,
                profile: profile, now: now)
            for element in elements {
                for part in element.parts { _ = writer.write(.element(Array(part.utf8).span.bytes), into: batch) }
                _ = writer.write(.expiry(element.expiry), into: batch)
            }
            let ended = writer.write(.ended, into: batch)
            #expect(ended)
            return (batch, writer.lostMemberExpiries)
        }
        let many = (0..<600).map {
            (parts: ["m\($0)"], expiry: $0 % 3 == 0 ? now - 1 : $0 % 3 == 1 ? now + 60_000 : nil)
        }
        let (members, lostMembers) = write(.setWithExpiry, TargetUnderTest.redis70, many)
        #expect(try target.send(members) == .applied([]))
        #expect(try target.integer("SCARD", "k") == 400)
        #expect(lostMembers == 200)

        let fields = many.map { (parts: $0.parts + ["v"], expiry: $0.expiry) }
        let (hash, lostFields) = write(.hashWithExpiry, TargetUnderTest.redis70, fields)
        #expect(try target.send(hash) == .applied([]))
        #expect(try target.integer("HLEN", "k") == 400)
        #expect(lostFields == 200)

        let (newer, lost) = write(.hashWithExpiry, TargetUnderTest.redis74, Array(fields.prefix(3)))
        #expect(lost == 0)
        #expect(
            try newer.lines() == ["UNLINK k", "HSET k m1 v m2 v", "HPEXPIREAT k \(now + 60_000) FIELDS 1 m1"])
    }
}
