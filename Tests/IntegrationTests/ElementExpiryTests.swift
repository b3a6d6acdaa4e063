import Base
import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// TTLs of set members, and of hash fields where the target has none, kept by df2redis.
@Suite(.serialized) struct `TTLs of members and fields` {
    private func scene(binary: String? = nil) throws -> RedisScene {
        try RedisScene(from: startedMaster(shards: 1), into: RedisServer(binary: binary))
    }

    @Test func `remove the elements in time, and leave no own keys at the target`() throws {
        let scene = try scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal(
            "SADDEX s 2 a b", "SADD s c a", "SADDEX gone 1 x", "HSETEX h 2 f 1 g 2", "HSET h i 3", "HINCRBY h f 5",
            "SADD t a b", "FIELDEXPIRE t 1 a", "HSET u f 1 g 1", "HEXPIRE u 1 FIELDS 2 f nothing")
        try scene.settle()
        #expect(try scene.members("s") == ["a", "b", "c"])
        #expect(try scene.client.command("HGET", "h", "f").text == "6")
        try daemon.wait(forLine: "policy.memberTTL: timer")
        try wait(until: "all are gone") {
            try scene.members("s") == ["c"] && scene.fields("h") == ["i"] && scene.members("t") == ["b"]
                && scene.fields("u") == ["g"] && scene.client.command("EXISTS", "gone").int == 0
        }
        try wait(until: "nothing of ours is left") { try scene.ownKeys().isEmpty }
        #expect(daemon.deadLetters.isEmpty)
        try daemon.leave()
        #expect(!daemon.log.contains("stay until this task runs again"))
        #expect(scene.master.violations == [])
    }

    @Test func `remove only elements that still have a TTL`() throws {
        let scene = try scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal(
            "SADDEX longer 2 a w", "SADDEX longer 1000 a", "SADDEX kept 1000 a", "SADDEX kept KEEPTTL 2 a w",
            "SADDEX again 2 a w", "SREM again a", "SADD again a", "SADDEX new 2 a w", "DEL new", "SADD new a",
            "SADDEX from 2 a", "SADD from b", "SADD over z", "SADDEX over 2 z2", "RENAME from over",
            "SADDEX plain 2 a", "SADD simple a", "RENAMENX simple renamed", "RENAME renamed plain",
            "HSETEX set 2 f 1 w 1", "HSET set f 2", "HSETEX nx 1000 f 1", "HSETEX nx NX 2 f 2 w 2",
            "HSETEX keep 1000 f 1", "HSETEX keep KEEPTTL 2 f 2 w 2", "HSET later f 1", "HSETEX later KEEPTTL 2 f 2 w 1",
            "HSETEX gt 1000 f 1", "HEXPIRE gt 2 GT FIELDS 1 f", "HEXPIRE gt 2 LT FIELDS 1 w",
            "HSETEX zero 1000 f 1 w 1", "HEXPIRE zero 0 FIELDS 1 w", "SADDEX other 2 a w", "SET other text",
            "SADDEX ext 2 a w", "FIELDEXPIRE ext 1000 a", "SADDEX mv 2 a", "SADD mv b", "MOVE mv 3", "SADD witness w",
            "FIELDEXPIRE witness 2 w", "SADD bare a", "SADDEX bare 2 a w")
        scene.journal("SADDEX far 2 a", "SADD far b", database: 5)
        try scene.settle()
        func has(_ key: String, _ expected: String) throws {
            #expect(try scene.members(key) == words(expected), "\(key)")
        }
        func hasFields(_ key: String, _ expected: String) throws {
            #expect(try scene.fields(key) == words(expected), "\(key)")
        }
        try wait(until: "what is due is gone") {
            let left = try scene.client.command("KEYS", "df2redis:ttl:*").array ?? []
            return left.compactMap(\.text).map { $0.dropFirst("df2redis:ttl:lab:".count) }.sorted()
                == ["ext", "gt", "keep", "kept", "longer", "nx", "zero"]
        }
        for key in ["longer", "kept", "again", "new", "plain", "ext", "bare"] { try has(key, "a") }
        try has("over", "b")
        for key in ["set", "nx", "keep", "gt", "zero"] { try hasFields(key, "f") }
        try hasFields("later", "")
        #expect(try scene.client.command("GET", "other").text == "text")
        #expect(try scene.client.command("EXISTS", "witness", "from").int == 0)
        for (database, key) in [("3", "mv"), ("5", "far")] {
            try scene.client.command("SELECT", database)
            try wait(until: "\(key) is due") { try scene.members(key) == ["b"] }
            try wait(until: "nothing is left") { try scene.ownKeys().isEmpty }
        }
        try daemon.leave()
        #expect(daemon.logs("7 keys hold elements with a TTL that df2redis keeps: they stay until this task"))
    }

    @Test func `continue after a crash from the task's position`() throws {
        let scene = try scene()
        var daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal("SADDEX s 3 a b", "SADD s c", "SADDEX long 1000 a b")
        try scene.settle()
        daemon.process.kill()
        scene.journal("SADD s d", "SREM long a", "SADD long a", "SADDEX s 1000 b")
        daemon = try scene.start()
        try daemon.wait(forLine: "resuming at the checkpoint")
        try wait(until: "what is due is gone") { try scene.members("s") == ["b", "c", "d"] }
        #expect(try scene.members("long") == ["a", "b"])
        #expect(try scene.client.command("ZCARD", "df2redis:ttl:lab:long").int == 1)
        try daemon.leave()
        #expect(scene.master.fullSyncs == 1)
    }

    @Test func `are reported as in doubt after a command that nobody received in time`() throws {
        let scene = try scene()
        var daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal("SADDEX s 2 a b", "SADD s c", "HSETEX h 2 f 1", "HSET h g 1")
        try scene.settle()
        daemon.process.kill()
        let start = ContinuousClock.now
        // Before or after the end of their TTLs: the journal does not say.
        scene.journal("SADD s a", "HINCRBY h f 1")
        try wait(until: "the deadlines have passed") { start.duration(to: .now) > .seconds(3) }
        daemon = try scene.start()
        try wait(until: "what is due is gone") { try scene.members("s") == ["a", "c"] && scene.ownKeys().isEmpty }
        #expect(try scene.client.command("HGET", "h", "f").text == "2", "kept rather than lost")
        #expect(
            Set(daemon.deadLetters) == [
                DeadLetter(kind: "element-ttl-in-doubt", database: 0, key: "s"),
                DeadLetter(kind: "element-ttl-in-doubt", database: 0, key: "h"),
            ])
        try daemon.leave()
    }

    @Test func `remove elements by the thousand`() throws {
        let scene = try scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        for set in 0..<3 {
            for page in 0..<5 {
                scene.journal(
                    "SADDEX big:\(set) 1 " + (0..<1000).map { "m\(page * 1000 + $0)" }.joined(separator: " "))
            }
            scene.journal("SADD big:\(set) stays")
        }
        for key in 0..<1500 { scene.journal("SADDEX small:\(key) 1 a") }
        try scene.settle()
        try wait(until: "all are gone") {
            try (0..<3).allSatisfy { try scene.members("big:\($0)") == ["stays"] } && scene.ownKeys().isEmpty
        }
        #expect(try scene.client.dataKeys == 4)
        try daemon.leave()
    }

    @Test(arguments: ["skip", "panic"])
    func `are kept only for values that the conflict policy lets in`(_ policy: String) throws {
        let replay = try recording("foreign").prepareReplay()
        let master = try SimulatorProcess(["--replay", replay.folder.path])
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        if policy == "skip" { try client.command("SADD", "setex", "mine") }
        let daemon = try Daemon(
            .replicate,
            .init(
                source: master.port, target: redis.port,
                sections: ["conflict": ["policy: \(policy)"], "policy": ["onUnsupported: skip"]]))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable:")
        #expect(try client.command("EXISTS", "df2redis:ttl:lab:hashex").int == 1)
        #expect(try client.command("EXISTS", "df2redis:ttl:lab:setex").int == (policy == "skip" ? 0 : 1))
        let due = (try client.command("ZRANGE", "df2redis:ttl-due:lab:0", "0", "-1").array ?? []).compactMap(\.text)
        let others = (try client.command("ZRANGE", "df2redis:ttl-due:lab:1", "0", "-1").array ?? []).compactMap(\.text)
        #expect(Set(due + others) == (policy == "skip" ? ["hashex"] : ["hashex", "setex"]))
        try daemon.leave()
        #expect(master.stop() == [])
    }

    @Test func `never remove elements ahead of the stream`() throws {
        let scene = try scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal("SADDEX s 3 a w", "HSETEX h 3 f 1 w 1")
        try scene.settle()
        scene.redis.pause()
        let start = ContinuousClock.now
        scene.journal("FIELDEXPIRE s 1000 a", "HEXPIRE h 1000 FIELDS 1 f")
        try wait(until: "the first deadline has passed") { start.duration(to: .now) > .seconds(5) }
        scene.redis.resume()
        try wait(until: "what was not extended is gone") {
            try scene.members("s") == ["a"] && scene.fields("h") == ["f"]
        }
        try daemon.leave()
    }

    @Test func `are dropped with the database or slot of their key`() throws {
        let scene = try scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        func write() throws {
            scene.journal("SADDEX s 1000 a", "SET other 1")
            scene.journal("SADDEX s 1000 a", database: 2)
            try scene.settle()
            #expect(try scene.ownKeys() == ["df2redis:ttl-due:lab:0", "df2redis:ttl:lab:s"])
        }
        try write()
        scene.journal("FLUSHDB")
        try wait(until: "database 0 is empty") { try scene.client.command("EXISTS", "other").int == 0 }
        #expect(try scene.ownKeys() == [])
        try scene.client.command("SELECT", "2")
        #expect(try scene.ownKeys().count == 2)
        try scene.client.command("SELECT", "0")
        try write()
        let slot = hashSlot("s")
        scene.journal("DFLYCLUSTER FLUSHSLOTS \(slot) \(slot)")
        try wait(until: "the slot is empty") { try scene.client.command("EXISTS", "s").int == 0 }
        #expect(try scene.client.command("EXISTS", "df2redis:ttl:lab:s").int == 0)
        #expect(try scene.client.command("HGET", "df2redis:checkpoint:lab", "databases").text != nil)
        scene.journal("SADD s a")
        try scene.settle()
        scene.journal("FLUSHALL")
        try wait(until: "all is gone") { try scene.client.dataKeys == 0 }
        try daemon.leave()
    }

    private func hashSlot(_ key: String) -> Int {
        var crc: UInt16 = 0
        for byte in key.utf8 {
            crc ^= UInt16(byte) << 8
            for _ in 0..<8 { crc = crc & 0x8000 == 0 ? crc << 1 : crc << 1 ^ 0x1021 }
        }
        return Int(crc & 0x3FFF)
    }

    @Test func `end the task with policy.memberTTL: unsupported`() throws {
        let scene = try scene()
        let daemon = try scene.start(sections: ["policy": ["memberTTL: unsupported"]])
        try daemon.wait(forLine: "stable:")
        scene.journal("SADDEX s 100 a")
        try daemon.expectExit(65)
        #expect(daemon.deadLetters == [DeadLetter(kind: "set-member-ttl", database: 0, key: "s")])
        #expect(try scene.members("s") == ["a"])
        #expect(try scene.ownKeys() == [])
    }

    @Test(.enabled(if: RedisServer.newerBinary != nil, "REDIS74_BIN names no Redis 7.4"))
    func `of hash fields are also set natively if the target supports them`() throws {
        let scene = try scene(binary: RedisServer.newerBinary)
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal(
            "HSET h f 1 g 1", "FIELDEXPIRE h 2 f", "HSETEX e 2 f 1", "HSET e g 1", "SADDEX s 2 a", "SADD s b",
            "SADD t a b", "FIELDEXPIRE t 2 a")
        try scene.settle()
        #expect(
            try scene.ownKeys() == ["df2redis:ttl-due:lab:0"] + ["e", "h", "s", "t"].map { "df2redis:ttl:lab:\($0)" })
        for (key, field) in [("h", "f"), ("e", "f")] {
            let deadline = try scene.client.command("HPEXPIRETIME", key, "FIELDS", "1", field).array?.first?.int
            #expect(
                try deadline
                    == scene.client.command("ZSCORE", "df2redis:ttl:lab:\(key)", field).text.flatMap { Int64($0) })
        }
        try wait(until: "all are gone") {
            try scene.fields("h") == ["g"] && scene.fields("e") == ["g"] && scene.members("s") == ["b"]
                && scene.members("t") == ["b"] && scene.ownKeys().isEmpty
        }
        try daemon.leave()
    }

    /// A Redis expires fields by itself: those that the source has extended or incremented meanwhile are gone there.
    @Test(.enabled(if: RedisServer.newerBinary != nil, "REDIS74_BIN names no Redis 7.4"))
    func `are reported as in doubt if the target expired the fields while no task followed`() throws {
        let scene = try scene(binary: RedisServer.newerBinary)
        var daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal(
            "HSETEX extended 2 f 1", "HSET extended g 1", "HSETEX counted 2 f 1", "HSET counted g 1", "HSET plain g 1",
            "HSETEX ended 2 f 1", "HSET ended g 1")
        try scene.settle()
        daemon.process.kill()
        scene.journal(
            "HEXPIRE extended 1000 FIELDS 1 f", "HINCRBY counted f 1", "HINCRBY plain f 1", "HSETEX given 1 f 1",
            "HINCRBY given f 1")
        try wait(until: "the target has ended the fields") {
            try ["extended", "counted", "ended"].allSatisfy { try scene.fields($0) == ["g"] }
        }
        daemon = try scene.start()
        try scene.settle()
        try wait(until: "it is told") { daemon.deadLetters.count >= 3 }
        #expect(
            Set(daemon.deadLetters)
                == Set(
                    ["extended", "counted", "given"].map {
                        DeadLetter(kind: "element-ttl-in-doubt", database: 0, key: $0)
                    }))
        #expect(try scene.client.command("HGET", "given", "f").text == "2", "kept rather than lost")
        try daemon.leave()
    }

    /// In import mode a Valkey expires no field: the next write would still find one whose TTL has passed.
    @Test(
        .enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no Valkey"),
        arguments: ["timer", "unsupported"])
    func `of hash fields are enforced on a Valkey in import mode`(_ policy: String) throws {
        let scene = try scene(binary: RedisServer.valkeyBinary)
        let daemon = try scene.start(sections: ["policy": ["memberTTL: \(policy)"]])
        try daemon.wait(forLine: "stable:")
        scene.journal(
            "HSET h keep 1", "HSETEX h 1 f 10 g 10", "HSET zero keep 1 f 2", "HEXPIRE zero 0 FIELDS 1 f",
            "HINCRBY zero f 1")
        try scene.settle()
        #expect(try scene.client.command("HGET", "zero", "f").text == "1")
        try wait(until: "the fields are gone, not hidden") { try scene.client.command("HLEN", "h").int == 1 }
        scene.journal("HINCRBY h f 1", "HSETNX h g new")
        try scene.settle()
        #expect(try scene.client.command("HGET", "h", "f").text == "1")
        #expect(try scene.client.command("HGET", "h", "g").text == "new")
        #expect(daemon.deadLetters.isEmpty)
        if policy == "unsupported" {
            scene.journal("SADDEX s 100 a")
            try daemon.expectExit(65)
            #expect(daemon.deadLetters == [DeadLetter(kind: "set-member-ttl", database: 0, key: "s")])
            #expect(try scene.ownKeys().isEmpty)
        } else {
            try daemon.leave()
        }
    }

    /// The DUMP of an older Dragonfly lacks the TTLs of elements that were there before they got one.
    @Test(
        .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"),
        arguments: Set([nil, RedisServer.newerBinary, RedisServer.valkeyBinary]))
    func `are kept when their key is read at a real Dragonfly`(_ target: String?) throws {
        let master = try DragonflyServer(shards: 2)
        let redis = try RedisServer(binary: target)
        let daemon = try Daemon(
            .replicate,
            .init(source: master.port, target: redis.port, sections: ["refresh": ["keysPerSecond: 1000"]]))
        defer {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }
        let (source, copy) = (try master.client(), try redis.client())
        try daemon.wait(forLine: "stable:")
        for number in 0..<10 {
            try source.command("HSET", "h:\(number)", "f", "1", "g", "2")
            try source.command("HSETEX", "h:\(number)", "4", "f", "3")
            try source.command("SADD", "s:\(number)", "1", "2")
            try source.command("FIELDEXPIRE", "s:\(number)", "4", "1")
            // A SORT over several shards makes its source be read, too.
            try source.command("SORT", "s:\(number)", "STORE", "sorted:\(number)")
            _ = try source.send(["SORT", "h:\(number)", "STORE", "sorted:\(number)"].map { Array($0.utf8) })
        }
        try wait(until: "the elements have ended", timeout: .seconds(30)) {
            try (0..<10).allSatisfy {
                try copy.command("HKEYS", "h:\($0)").array?.compactMap(\.text) == ["g"]
                    && copy.command("SMEMBERS", "s:\($0)").array?.compactMap(\.text) == ["2"]
            }
        }
        #expect(daemon.deadLetters.contains { $0.kind == "fragmented-sort" && $0.key == "s:7" })
        try daemon.leave()
    }

    @Test(.enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"), arguments: [1, 2])
    func `expire alike on a real Dragonfly and on its target`(_ shards: Int) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        var random = SplitMix64(seed: printedSeed())
        func number(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        /// Commands of every kind that meets TTLs of elements; TTLs of 30 seconds at least end after the test, so that no
        /// command comes near the end of one. What FIELDEXPIRE or HEXPIRE alone have given is in no snapshot and no RESTORE
        /// of a v1.36.0 (its DUMP has no TTLs then): these come after the full sync, to keys that are not copied.
        func write(_ count: Int, shortest: Int, isStable: Bool) throws {
            for _ in 0..<count {
                let (set, hash) = ("s:\(number(20))", "h:\(number(20))")
                let other = "o:\(number(20))"
                let (a, b) = ("e\(number(8))", "e\(number(8))")
                let ttl = "\(shortest + number(3))"
                let command: [String] =
                    switch number(isStable ? 19 : 14) {
                    case 0, 1: ["SADDEX", set, ttl, a, b]
                    case 2: ["SADDEX", set, "KEEPTTL", ttl, a]
                    case 3: ["SADD", set, a]
                    case 4: ["SREM", set, a]
                    case 5: ["COPY", set, "s:\(number(20))", "REPLACE"]
                    case 6: ["RENAME", set, "s:\(number(20))"]
                    case 7: ["DEL", set]
                    case 8, 9: ["HSETEX", hash, ttl, a, "1", b, "2"]
                    case 10: ["HSETEX", hash, "KEEPTTL", ttl, a, "3"]
                    case 11: ["HSET", hash, a, "4"]
                    case 12: ["HINCRBY", hash, a, "1"]
                    case 13: ["HDEL", hash, a]
                    case 14: ["HEXPIRE", hash, ttl, "FIELDS", "1", a]
                    case 15: ["SADDEX", other, ttl, a]
                    case 16: ["SADD", other, a, b]
                    case 17: ["FIELDEXPIRE", other, ttl, a, b]
                    default: ["FIELDEXPIRE", hash, ttl, a, b]
                    }
                _ = try source.send(command.map { Array($0.utf8) })
            }
        }
        func differences() throws -> [Difference] {
            // A v1.36.0 may go on showing a set that has no members left.
            try ServerData(reading: source).differences(in: ServerData(reading: target).withoutCheckpoints).filter {
                guard case .missing(let type) = $0.kind else { return true }
                let elements = try source.send([[UInt8](type == "set" ? "SMEMBERS" : "HKEYS"), $0.key])
                return elements.array?.isEmpty != true
            }
        }
        // Some before the sync, some after it, some while nobody follows.
        try write(1000, shortest: 30, isStable: false)
        var daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable:")
        try write(1000, shortest: 30, isStable: true)
        try waitUntilEqual(timeout: .seconds(20), differences)
        daemon.process.kill()
        try write(300, shortest: 30, isStable: true)
        daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port), folder: daemon.folder)
        try daemon.wait(forLine: "resuming at the checkpoint")
        try waitUntilEqual(timeout: .seconds(20), differences)
        // Those that end while somebody follows.
        for index in 0..<20 {
            try source.command("SADDEX", "short:\(index)", "3", "a", "b")
            try source.command("SADD", "short:\(index)", "c")
            try source.command("HSETEX", "shorth:\(index)", "3", "a", "1")
            try source.command("HSET", "shorth:\(index)", "c", "1")
        }
        try wait(until: "the source has ended them") { try source.command("SMEMBERS", "short:19").array?.count == 1 }
        try waitUntilEqual(timeout: .seconds(20), differences)
        #expect(try target.command("SMEMBERS", "short:3").array?.count == 1)
        #expect(daemon.deadLetters.filter { $0.kind != "element-ttl-in-doubt" }.isEmpty)
        // All the others: whatever had become of a key, its elements end on both sides.
        try wait(until: "every TTL has ended", timeout: .seconds(90)) {
            try target.command("KEYS", "df2redis:ttl*").array?.isEmpty == true
        }
        try waitUntilEqual(timeout: .seconds(20), differences)
        try daemon.leave()
    }
}

private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

extension RedisScene {
    fileprivate func journal(_ lines: String..., database: Int = 0) {
        master.send(journal: lines.map { JournalEntry($0, database: database) }, flow: 0)
    }

    fileprivate func members(_ key: String) throws -> [String] {
        (try client.command("SMEMBERS", key).array ?? []).compactMap(\.text).sorted()
    }

    fileprivate func fields(_ key: String) throws -> [String] {
        (try client.command("HKEYS", key).array ?? []).compactMap(\.text).sorted()
    }

    /// Keys of ours besides the checkpoint.
    fileprivate func ownKeys() throws -> [String] {
        (try client.command("KEYS", "df2redis:ttl*").array ?? []).compactMap(\.text).sorted()
    }

    /// Everything sent until now is applied.
    fileprivate func settle(_ mark: String = UUID().uuidString) throws {
        journal("SET mark \(mark)")
        try wait(until: "it is applied") { try self.client.command("GET", "mark").text == mark }
    }
}
