import Base
import Testing

@testable import DragonflySimulator

/// The live key space: replies, and what the journal says.
@Suite struct `A simulated master that clients write to` {
    private func liveMaster(
        shards: Int = 1, _ change: (inout MasterOptions) -> Void = { _ in }
    ) throws -> SimulatedMaster {
        try startedMaster(
            .live(nil),
            options {
                $0.shardCount = shards
                change(&$0)
            })
    }

    /// The records that commands leave in the journal of a master with one shard.
    private func records(
        _ commands: [String], _ change: (inout MasterOptions) -> Void = { _ in }
    ) throws -> [DecodedFlow.Record] {
        let master = try liveMaster(change)
        let (replica, full) = try TestReplica.stable(on: master)
        for command in commands { master.execute(command) }
        master.execute("SET the-end x")
        let end = JournalEntry("SET the-end x").encoded
        let bytes = try full[0] + replica.flows[0].read(through: end)
        return try DecodedFlow(bytes, token: replica.answers[0].token).records.dropLast()
    }

    @Test(
        arguments: [
            ("SET k v", ["SET k v"]), ("SET k v NX", ["SET k v"]), ("SET k v XX", []), ("SET k v GET", ["SET k v"]),
            ("SET s v KEEPTTL", ["SET s v KEEPTTL"]), ("SET k v PXAT 2019686400000", ["SET k v PXAT 2019686400000"]),
            ("SET k v EXAT 2019686400", ["SET k v PXAT 2019686400000"]), ("SET s v PXAT 1", []),
            ("INCR n", ["INCR n"]), ("DECRBY n 3", ["DECRBY n 3"]), ("INCRBYFLOAT n 0.5", ["INCRBYFLOAT n 0.5"]),
            ("APPEND s x", ["APPEND s x"]), ("SETNX s v", []), ("GETSET s v", ["GETSET s v"]),
            ("GETDEL s", ["GETDEL s"]),
            ("GETDEL none", []), ("DEL s none", ["DEL s none"]), ("UNLINK none", ["UNLINK none"]),
            ("EXPIREAT s 2019686400", ["PEXPIREAT s 2019686400000"]), ("PEXPIREAT s 1", ["DEL s"]),
            ("EXPIRE none 10", []),
            ("PERSIST s", []), ("GETEX s PXAT 2019686400000", ["PEXPIREAT s 2019686400000"]),
            ("RENAME s t", ["RENAME s t"]), ("RENAME none t", []), ("MSET a 1 b 2", ["MSET a 1 b 2"]),
            ("LPUSH l a b", ["LPUSH l a b"]), ("LPUSHX none a", ["LPUSHX none a"]), ("LPOP l", ["LPOP l"]),
            ("RPOP l 2", ["RPOP l 2"]), ("LPOP none", []), ("LMOVE l m LEFT RIGHT", ["LPOP l", "RPUSH m 1"]),
            ("RPOPLPUSH l m", ["RPOP l", "LPUSH m 3"]), ("LTRIM l 0 0", ["LTRIM l 0 0"]),
            ("LREM l 1 2", ["LREM l 1 2"]),
            ("LSET l 0 x", ["LSET l 0 x"]), ("SADD t2 a", ["SADD t2 a"]), ("SPOP set", ["SREM set a"]),
            ("SPOP set 5", ["DEL set"]), ("SMOVE set other a", ["SREM set a", "SADD other a"]),
            ("HSET h f 2", ["HSET h f 2"]), ("HSETNX h f 3", ["HSETNX h f 3"]), ("HINCRBY h n 4", ["HINCRBY h n 4"]),
            ("HDEL h f", ["DEL h", "HDEL h f"]), ("HDEL h g", ["HDEL h g"]), ("ZADD z NX 9 a", ["ZADD z NX 9 a"]),
            ("ZINCRBY z 1.5 a", ["ZINCRBY z 1.5 a"]), ("ZREM z a", ["ZREM z a"]), ("ZPOPMIN z", ["ZPOPMIN z"]),
            ("XADD x 7-1 f v", ["XADD x 7-1 f v"]), ("XADD x MAXLEN 1 7-1 f v", ["XADD x MINID 7-1 7-1 f v"]),
            ("XTRIM x MAXLEN 0", ["XTRIM x MAXLEN 0"]), ("XDEL x 5-5", ["XDEL x 5-5"]), ("XADD x 1-1 f v", []),
            ("INCR s", []), ("LPUSH s a", []), ("GET s", []),
        ] as [(String, [String])])
    func `commands are journalled as v1_36 does`(command: String, journal: [String]) throws {
        let before = [
            "SET s v", "RPUSH l 1 2 3", "SADD set a b", "HSET h f 1", "ZADD z 1 a", "XADD x 5-5 f v",
        ]
        let found = try records(before + [command])
        #expect(found.dropFirst(before.count).map(\.line) == journal)
        #expect(found.allSatisfy { !$0.isExpired && $0.database == 0 })
    }

    @Test func `relative expiries become absolute ones`() throws {
        let before = WallClock.milliseconds()
        let lines = try records(["SETEX a 100 v", "SET b v PX 5000", "EXPIRE b 100", "PSETEX c 7000 v"]).map(\.words)
        #expect(
            lines.map { $0.dropLast() } == [
                ["SET", "a", "v", "PXAT"], ["SET", "b", "v", "PXAT"], ["PEXPIREAT", "b"], ["SET", "c", "v", "PXAT"],
            ])
        for (line, relative) in zip(lines, [100_000, 5000, 100_000, 7000]) {
            let time = Int64(line.last ?? "") ?? 0
            #expect(time >= before + Int64(relative) && time <= WallClock.milliseconds() + Int64(relative))
        }
    }

    @Test func `before v1_40 a plain GETEX is journalled as a wrong PEXPIREAT`() throws {
        #expect(try records(["SET k v", "GETEX k"]).last?.words.first == "PEXPIREAT")
        #expect(try records(["SET k v", "GETEX k"]) { $0.version = .newest }.map(\.line) == ["SET k v"])
    }

    @Test(arguments: [(DragonflyVersion.reference, true), (.newest, false)])
    func `an expiry is journalled as the release does it`(version: DragonflyVersion, isExpired: Bool) throws {
        let master = try liveMaster { $0.version = version }
        let (replica, full) = try TestReplica.stable(on: master)
        master.execute("SET k v PX 20")
        #expect(eventually { master.nextLSNs == [3] })
        var entry = JournalEntry.expired(Array("k".utf8))
        if !isExpired { entry.kind = .command }
        let bytes = try full[0] + replica.flows[0].read(through: entry.encoded)
        let record = try DecodedFlow(bytes, token: replica.answers[0].token).records.last
        #expect(record?.line == "DEL k" && record?.isExpired == isExpired)
        #expect(master.execute("GET k") == .null)
    }

    @Test func `commands over shards are split under one transaction id`() throws {
        let master = try liveMaster(shards: 2)
        let (replica, full) = try TestReplica.stable(on: master)
        let keys = (0..<20).map { "k\($0)" }
        master.execute("MSET " + keys.map { "\($0) v" }.joined(separator: " "))
        master.execute("FLUSHDB", database: 3)
        master.execute("FLUSHALL")
        let end = JournalEntry("FLUSHALL", transaction: 3, shardCount: 2).encoded
        let flows = try zip(zip(replica.flows, full), replica.answers).map { flow, answer in
            try DecodedFlow(flow.1 + flow.0.read(through: end), token: answer.token)
        }
        #expect(flows.allSatisfy { $0.records.map(\.transaction) == [1, 2, 3] })
        #expect(flows.allSatisfy { $0.records[0].words[0] == "MSET" })
        let written = flows.flatMap { flow in
            stride(from: 1, to: flow.records[0].words.count, by: 2).map { flow.records[0].words[$0] }
        }
        #expect(Set(written) == Set(keys) && written.count == keys.count)
        #expect(flows.allSatisfy { $0.records[1].line == "FLUSHDB" && $0.records[1].database == 3 })
        #expect(flows.allSatisfy { $0.records[2].line == "FLUSHALL" })
        #expect(master.execute("DBSIZE") == .integer(0))
    }

    @Test func `a RENAME over shards is DEL and RESTORE`() throws {
        let master = try liveMaster(shards: 2)
        let (replica, full) = try TestReplica.stable(on: master)
        let source = (0...).lazy.map { "s\($0)" }.first { KeyHash.shard(of: Array($0.utf8), count: 2) == 0 } ?? ""
        let target = (0...).lazy.map { "t\($0)" }.first { KeyHash.shard(of: Array($0.utf8), count: 2) == 1 } ?? ""
        master.execute("SET \(source) v PXAT 2019686400000")
        master.execute("RENAME \(source) \(target)")
        #expect(master.execute("PEXPIRETIME \(target)") == .integer(2_019_686_400_000))
        for shard in 0..<2 { master.execute("SET \(shard == 0 ? source : target) end") }
        let first = try DecodedFlow(
            full[0] + replica.flows[0].read(through: JournalEntry("SET \(source) end").encoded),
            token: replica.answers[0].token)
        let second = try DecodedFlow(
            full[1] + replica.flows[1].read(through: JournalEntry("SET \(target) end").encoded),
            token: replica.answers[1].token)
        #expect(first.records[1].line == "DEL \(source)")
        let restore = second.records[0]
        #expect(restore.words.prefix(3) == ["RESTORE", target, "2019686400000"])
        #expect(restore.words.suffix(2) == ["REPLACE", "ABSTTL"])
        #expect(restore.transaction == first.records[1].transaction && restore.transaction != 0)
    }

    @Test func `the commands of a MULTI share a transaction id`() throws {
        let master = try liveMaster()
        let (replica, full) = try TestReplica.stable(on: master)
        let client = try TestConnection(to: master)
        #expect(try client.command("MULTI") == .ok)
        #expect(try client.command("INCR a") == .simple("QUEUED"))
        #expect(try client.command("INCR b") == .simple("QUEUED"))
        #expect(try client.command("EXEC") == .array([.integer(1), .integer(1)]))
        let end = JournalEntry("INCR b", transaction: 1).encoded
        let flow = try DecodedFlow(full[0] + replica.flows[0].read(through: end), token: replica.answers[0].token)
        #expect(flow.records.map(\.line) == ["INCR a", "INCR b"])
        #expect(flow.records.map(\.transaction) == [1, 1])
    }

    @Test func `clients read what they wrote`() throws {
        let master = try liveMaster(shards: 3)
        let client = try TestConnection(to: master)
        let transcript: [(String, Reply)] = [
            ("SET k v", .ok), ("GET k", .text("v")), ("TYPE k", .simple("string")), ("INCR n", .integer(1)),
            ("INCRBYFLOAT n 0.2", .text("1.2")), ("RPUSH l a b c", .integer(3)),
            ("LRANGE l 0 -1", .array([.text("a"), .text("b"), .text("c")])), ("LPOP l", .text("a")),
            ("SADD s x", .integer(1)), ("SADD s x", .integer(0)), ("SMEMBERS s", .array([.text("x")])),
            ("HSET h f 1", .integer(1)), ("HGETALL h", .array([.text("f"), .text("1")])),
            ("ZADD z 2 b 1 a", .integer(2)),
            ("ZRANGE z 0 -1 WITHSCORES", .array([.text("a"), .text("1"), .text("b"), .text("2")])),
            ("XADD x 1-1 f v", .text("1-1")),
            ("XRANGE x - +", .array([.array([.text("1-1"), .array([.text("f"), .text("v")])])])),
            ("EXPIREAT k 2019686400", .integer(1)), ("PEXPIRETIME k", .integer(2_019_686_400_000)),
            ("PERSIST k", .integer(1)), ("TTL k", .integer(-1)), ("TTL none", .integer(-2)), ("DBSIZE", .integer(7)),
            ("SELECT 1", .ok), ("DBSIZE", .integer(0)), ("SELECT 0", .ok), ("LPUSH k x", ErrorText.wrongType),
            ("INCR k", ErrorText.integer), ("DEL k n none", .integer(2)),
            ("NONSENSE", .error("ERR unknown command `NONSENSE`")),
            ("FLUSHALL", .ok), ("DBSIZE", .integer(0)),
        ]
        for (command, reply) in transcript { #expect(try client.command(command) == reply, "\(command)") }
    }

    @Test func `writes during a full sync follow the old value of their key`() throws {
        let dataSet = SyntheticDataSet(keys: 5000, valueBytes: 200)
        let setup = options {
            $0.shardCount = 2
            $0.sendBufferBytes = 8192
        }
        let master = try startedMaster(.live(dataSet), setup)
        let replica = try TestReplica.connected(to: master, receiveBuffer: 8192)
        try replica.main.command("DFLY SYNC \(replica.sync)")
        // Nothing is read yet, so most keys have not gone out.
        for index in stride(from: 0, to: 5000, by: 25) { master.execute("APPEND key:\(index) more") }
        master.execute("SET new v")
        try replica.readAll { master.haveFlowsEnded }
        master.execute("SET late v")
        replica.main.send("DFLY STARTSTABLE \(replica.sync)")
        try replica.readAll {
            zip(replica.flows, replica.answers).allSatisfy { $0.hasRead(ending: Array($1.token.utf8)) }
        }
        var appended = 0
        for (flow, answer) in zip(replica.flows, replica.answers) {
            let decoded = try DecodedFlow(flow.takeRead(), token: answer.token)
            #expect(decoded.repeatedKeys == 0)
            #expect(decoded.offset == UInt64(decoded.records.count) + 1)
            var seen: Set<[UInt8]> = []
            for step in decoded.order {
                if step.isRecord, step.key.starts(with: Array("key:".utf8)) { #expect(seen.contains(step.key)) }
                seen.insert(step.key)
            }
            for record in decoded.records where record.words[0] == "APPEND" {
                appended += 1
                // The value that went out is the one of the snapshot.
                if case .string(let bytes)? = decoded[record.words[1]] { #expect(bytes.count == 200) }
            }
        }
        #expect(appended == 200)
        #expect(master.violations.isEmpty)
    }

    @Test(arguments: [DragonflyVersion.reference, .newest])
    func `under load the snapshot and the records after it give the master's data`(version: DragonflyVersion) throws {
        var dataSet = SyntheticDataSet(keys: 3000, valueBytes: 300, shape: .mixed)
        dataSet.elements = 30
        var setup = MasterOptions()
        setup.version = version
        setup.chunkBytes = 2048
        let master = try startedMaster(.live(dataSet), setup)
        master.generateLoad(writesPerSecond: 20_000, seed: 5, keys: 200)
        #expect(eventually { master.keyCount > 3500 })
        let replica = try TestReplica.connected(to: master)
        let full = try replica.fullSyncWithoutLooking()
        let start = master.nextLSNs
        try replica.readAll { zip(master.nextLSNs, start).allSatisfy { $0 > $1 + 500 } }
        master.generateLoad(writesPerSecond: 0, seed: 0)
        // Nothing is written any more: the flows end after what was.
        for flow in replica.flows { flow.finish() }
        let rest = try replica.flows.map { try $0.readToEnd() }

        let mirror = try startedMaster(.live(nil))
        for (shard, answer) in replica.answers.enumerated() {
            let flow = try DecodedFlow(full[shard] + rest[shard], token: answer.token)
            #expect(flow.isStable)
            let stable = flow.records.count { !$0.isInSnapshot }
            #expect(flow.offset.map { $0 + UInt64(stable) } == master.nextLSNs[shard])
            mirror.fill(flow.entries.map { ($0.key.database, $0.key.key, $0.value) })
            for record in flow.records { mirror.execute(record.line, database: record.database) }
        }
        #expect(mirror.values == master.values)
        #expect(master.violations.isEmpty)
    }

    @Test func `a full flow blocks the master's writers until it is read`() throws {
        let master = try liveMaster {
            $0.sendBufferBytes = 4096
            $0.outputLimitBytes = 10_000
        }
        let replica = try TestReplica.connected(to: master, receiveBuffer: 4096)
        _ = try replica.fullSync()
        master.execute([Array("SET".utf8), [0x6B], Array(repeating: 0x78, count: 256 << 10)])
        let client = try TestConnection(to: master)
        client.send("SET after v")
        #expect(eventually { master.longestBlockedWriters > .milliseconds(20) })
        #expect(master.execute("GET after") == .null)
        try replica.readAll {
            master.longestBlockedWriters > .zero && (try? client.readAvailable()) != nil
                && client.hasRead(ending: [13, 10])
        }
        #expect(try client.reply() == .ok)
    }
}

extension SimulatedMaster {
    var keyCount: Int {
        guard case .integer(let count) = execute("DBSIZE") else { return 0 }
        return Int(count)
    }

    /// All keys of all databases with their values.
    var values: [DecodedFlow.Key: Value] {
        var values: [DecodedFlow.Key: Value] = [:]
        withCore { core in
            for shard in core.store?.shards ?? [] {
                for (database, entries) in shard {
                    for (key, entry) in entries { values[DecodedFlow.Key(database: database, key: key)] = entry.value }
                }
            }
        }
        return values
    }

    func fill(_ entries: [(Int, [UInt8], DecodedFlow.Entry)]) {
        withCore { core in
            for (database, key, entry) in entries {
                core.store?[database, key] = LiveStore.Entry(value: entry.value, expiresAt: entry.expiresAt)
            }
        }
    }
}
