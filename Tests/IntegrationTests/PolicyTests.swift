import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// The effect of the policies and of refusals by source and target on a task: exit codes, messages, and the data in the
/// target afterwards.
@Suite(.serialized) struct `A task that meets what it cannot apply` {
    private static let secret = "a-value-that-no-log-may-hold"

    /// A live master of one shard, a real target, and the task between them.
    private final class Scene: TaskScene<RedisServer> {
        init(target: [String] = [], _ change: (inout MasterOptions) -> Void = { _ in }) throws {
            try super.init(from: startedMaster(shards: 1, change), into: RedisServer(target))
        }

        /// A record that the master would not make by itself.
        func journal(_ line: String) { master.send(journal: [JournalEntry(line)], flow: 0) }
    }

    private func policy(_ name: String, _ value: String) -> [String: [String]] { ["policy": ["\(name): \(value)"]] }

    // MARK: Refused

    @Test func `a target that forbids SELECT gets nothing into the wrong database, whatever the policy`() throws {
        let scene = try Scene()
        let daemon = try scene.start(sections: ["policy": ["onError: skip"], "checkpoint": ["store: file"]])
        try daemon.wait(forLine: "stable:")
        try scene.client.command("ACL", "SETUSER", "default", "-select")
        scene.master.execute("SET k v", database: 3)
        try daemon.expectExit(77)
        #expect(daemon.logs("the target's ACL forbids SELECT"))
        #expect(try scene.get("k") == nil)
    }

    // MARK: Unsupported

    @Test func `skipped commands are in the summary even of a leave between two sessions`() throws {
        let scene = try Scene()
        let daemon = try scene.start(sections: policy("onUnsupported", "skip"))
        try daemon.wait(forLine: "stable:")
        scene.journal("BF.ADD filter x")
        try daemon.wait(forLine: "not replicated")
        scene.master.stop()
        try daemon.wait(forLine: "another attempt in")
        try daemon.leave()
        #expect(daemon.logs("1 x bloom-filter"))
    }

    @Test func `onUnsupported stop ends the task with key and reason, after the earlier commands`() throws {
        let scene = try Scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal("SET before 1")
        scene.journal("BF.ADD filter \(Self.secret)")
        scene.journal("SET after 1")
        try daemon.expectExit(65)
        #expect(daemon.logs(#"BF.ADD "filter" in database 0: Dragonfly's bloom filters cannot be loaded"#))
        #expect(daemon.logs("policy.onUnsupported: stop"))
        #expect(daemon.deadLetters == [DeadLetter(kind: "bloom-filter", database: 0, key: "filter")])
        #expect(try scene.get("before") == "1")
        #expect(try scene.get("after") == nil)
        #expect(!daemon.log.contains(Self.secret))
        #expect(scene.master.violations == [])
    }

    @Test(arguments: [Daemon.Command.replicate, .migrate])
    func `a snapshot with unsupported types stops the task by default`(_ command: Daemon.Command) throws {
        let replay = try recording("foreign").prepareReplay()
        let master = try SimulatorProcess(["--replay", replay.folder.path])
        let redis = try RedisServer()
        defer { redis.stop() }
        let daemon = try Daemon(command, .init(source: master.port, target: redis.port))
        try daemon.expectExit(65)
        #expect(daemon.logs("policy.onUnsupported: stop"))
        #expect(!daemon.deadLetters.isEmpty)
        #expect(master.stop() == [], "what the master saw")
    }

    @Test func `onUnsupported skip goes on, counts unsupported commands and lists their keys as dead letters`() throws {
        let scene = try Scene()
        let daemon = try scene.start(sections: policy("onUnsupported", "skip"))
        try daemon.wait(forLine: "stable:")
        for number in 1...5 { scene.journal("JSON.SET doc:\(number) $ {}") }
        scene.journal("CL.THROTTLE gate 1 2 3")
        scene.journal("SET after 1")
        try wait(until: "the record behind is applied") { try scene.get("after") == "1" }
        try daemon.leave()
        #expect(
            daemon.deadLetters
                == (1...5).map { DeadLetter(kind: "json", database: 0, key: "doc:\($0)") })
        #expect(daemon.logs("5 x json"))
        #expect(daemon.logs("1 x throttle"), "it is counted only")
    }

    @Test(arguments: ["stop", "skip"])
    func `keys of a database that the target lacks are handled as onUnsupported says`(_ reaction: String) throws {
        let scene = try Scene(target: ["--databases", "2"])
        scene.master.execute("SET snapshot v", database: 3)
        scene.master.execute("SET mine v", database: 1)
        let daemon = try scene.start(sections: policy("onUnsupported", reaction))
        if reaction == "stop" {
            try daemon.expectExit(65)
            #expect(daemon.logs(#"string "snapshot" in database 3: the target has no such database"#))
        } else {
            try daemon.wait(forLine: "stable:")
            scene.master.execute("SET journal v", database: 3)
            scene.master.execute("SET end v")
            try wait(until: "the record behind is applied") { try scene.get("end") == "v" }
            try daemon.leave()
            #expect(
                daemon.deadLetters.map(\.key) == ["snapshot", "journal"], "\(daemon.deadLetters)")
            #expect(try ServerData(reading: scene.client).withoutCheckpoints.databases.keys.sorted() == [0, 1])
        }
    }

    @Test(arguments: ["stop", "skip"], ["MOVE out 7", "COPY out to DB 7"])
    func `MOVE or COPY to a database that the target lacks is handled as onUnsupported says`(
        _ reaction: String, _ line: String
    ) throws {
        let scene = try Scene(target: ["--databases", "4"])
        let daemon = try scene.start(sections: policy("onUnsupported", reaction))
        try daemon.wait(forLine: "stable:")
        scene.master.send(
            journal: ["SET out 1", "SET stays 2", line, "SET end v"].map { JournalEntry($0, database: 1) }, flow: 0)
        let name = line.split(separator: " ")[0]
        if reaction == "stop" {
            try daemon.expectExit(65)
            #expect(daemon.logs(#"\#(name) "out" in database 1: the target has no such database"#))
        } else {
            try scene.client.command("SELECT", "1")
            try wait(until: "the record after it is applied") { try scene.client.command("GET", "end").text == "v" }
            try daemon.leave()
        }
        let data = try ServerData(reading: scene.client).withoutCheckpoints.databases[1] ?? [:]
        let keys = data.keys.map { String(decoding: $0, as: UTF8.self) }.sorted()
        let hasLeft = name == "MOVE" && reaction == "skip"
        #expect(keys == (reaction == "skip" ? ["end"] : []) + (hasLeft ? [] : ["out"]) + ["stays"])
        #expect(daemon.deadLetters == [DeadLetter(kind: "database-number", database: 1, key: "out")])
        #expect(!daemon.log.contains("target-error"))
    }

    // MARK: Errors of the target

    @Test func `onError stop names command, key, database and reply, never a value`() throws {
        let scene = try Scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        try scene.client.command("SET", "list", "not a list")
        scene.master.execute("RPUSH list \(Self.secret)")
        try daemon.expectExit(65)
        #expect(daemon.logs(#"the target refuses RPUSH "list" in database 0: WRONGTYPE"#))
        #expect(!daemon.log.contains(Self.secret))
        #expect(daemon.deadLetters == [DeadLetter(kind: "target-error", database: 0, key: "list")])

        // The next start does not resume after the error, but makes a full sync.
        try scene.client.command("DEL", "list")
        let next = try scene.start()
        try next.wait(forLine: "stable:")
        #expect(next.logs("full sync begins"))
        #expect(try scene.client.command("LRANGE", "list", "0", "-1").array?.count == 1)
        try next.leave()
    }

    @Test func `onError skip goes on without the command`() throws {
        let scene = try Scene()
        let daemon = try scene.start(sections: policy("onError", "skip"))
        try daemon.wait(forLine: "stable:")
        try scene.client.command("SET", "list", "not a list")
        scene.master.execute("SET list2 x", database: 3)
        scene.master.execute("RPUSH list a", database: 0)
        scene.master.execute("SET after 1")
        try wait(until: "the record behind is applied") { try scene.get("after") == "1" }
        try daemon.leave()
        #expect(try scene.get("list") == "not a list")
        #expect(daemon.deadLetters == [DeadLetter(kind: "target-error", database: 0, key: "list")])
    }

    @Test func `a target that no longer allows MSET gets each string once by itself`() throws {
        let scene = try Scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        try scene.client.command("ACL", "SETUSER", "default", "-mset")
        scene.master.send(
            journal: (0..<400).flatMap { [JournalEntry("SET k:\($0) v"), JournalEntry("INCR n")] }, flow: 0)
        scene.master.send(journal: (0..<400).map { JournalEntry("SET l:\($0) v") }, flow: 0)
        scene.journal("INCR n")
        scene.journal("SET after 1")
        try wait(until: "all is applied") { try scene.get("after") == "1" }
        try daemon.leave()
        #expect(daemon.logs("the target refuses MSET"))
        #expect(try scene.get("n") == "401")
        #expect(try scene.client.dataKeys == 802)
        #expect(daemon.deadLetters == [])
    }

    @Test func `an XSETID that the source refused itself is no error`() throws {
        let scene = try Scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.journal("XSETID none 5-5")
        scene.journal("XADD x 9-9 f v")
        scene.journal("XSETID x 1-1")
        scene.journal("SET after 1")
        try wait(until: "the record behind is applied") { try scene.get("after") == "1" }
        try daemon.leave()
        #expect(daemon.deadLetters == [])
    }

    @Test func `a script that the target cannot compile is reported and does not stop the task`() throws {
        let scene = try Scene()
        let daemon = try scene.start(sections: policy("onError", "stop"))
        try daemon.wait(forLine: "stable:")
        scene.journal("SCRIPT LOAD return(7//2)")
        scene.journal("SCRIPT LOAD return(7)")
        scene.journal("SET after 1")
        try wait(until: "the record behind is applied") { try scene.get("after") == "1" }
        try daemon.leave()
        #expect(daemon.deadLetters == [DeadLetter(kind: "script", database: 0, key: "LOAD")])
        #expect(daemon.logs("the target does not take a script of the source: ERR Error compiling script"))
        #expect(daemon.logs("1 x script"))
        // The SHA-1 of return(7).
        #expect(try scene.client.command("EVALSHA", "bc70ae583496ef68242126e5f723b4224435af02", "0").int == 7)
    }

    @Test func `a target out of memory is waited for, and nothing is lost or doubled`() throws {
        let scene = try Scene(target: ["--maxmemory-policy", "noeviction"])
        let daemon = try scene.start(sections: policy("onError", "stop"))
        try daemon.wait(forLine: "stable:")
        try scene.client.command("CONFIG", "SET", "maxmemory", "1")
        for _ in 1...20 { scene.master.execute("INCR n") }
        try daemon.wait(forLine: "OOM command not allowed")
        for _ in 1...20 { scene.master.execute("INCR n") }
        try scene.client.command("CONFIG", "SET", "maxmemory", "0")
        try wait(until: "everything is applied") { try scene.get("n") == "40" }
        try daemon.leave()
        #expect(try scene.get("n") == "40")
        #expect(daemon.deadLetters == [])
        #expect(scene.master.fullSyncs == 1)
    }

    @Test func `a target that dies and comes back with its data gets each record once`() throws {
        let scene = try Scene(target: ["--appendonly", "yes", "--appendfsync", "always"])
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        for round in 1...5 {
            for _ in 1...50 { scene.master.execute("INCR n") }
            if round == 2 || round == 4 {
                scene.redis.kill()
                for _ in 1...50 { scene.master.execute("INCR n") }
                try scene.redis.restart()
            }
        }
        let client = try scene.redis.client()
        try wait(until: "everything is applied") { try client.command("GET", "n").text == "350" }
        try daemon.leave()
        #expect(try client.command("GET", "n").text == "350")
        #expect(scene.master.fullSyncs == 1)
    }

    // MARK: Conflicts

    /// A small and a large key for each way to write a value.
    private func fill(_ scene: Scene) {
        scene.master.execute("SET small new")
        scene.master.execute("RPUSH list a b c")
        scene.master.execute([Array("SET".utf8), Array("large".utf8), [UInt8](repeating: 7, count: 600_000)])
        let elements = (0..<40_000).map { Array("element \($0)".utf8) }
        scene.master.execute([Array("RPUSH".utf8), Array("long".utf8)] + elements)
        scene.master.execute("SET other 1")
    }

    private static let existing = ["small", "list", "large", "long"]

    @Test(arguments: ["overwrite", "skip", "panic"], existing + [""])
    func `each conflict policy is obeyed for small and large keys`(_ policy: String, _ key: String) throws {
        let scene = try Scene()
        fill(scene)
        if !key.isEmpty { try scene.client.command("HSET", key, "f", "old") }
        let daemon = try scene.start(.migrate, sections: ["conflict": ["policy: \(policy)"]])
        let stops = policy == "panic" && !key.isEmpty
        try daemon.expectExit(stops ? 65 : 0)

        let data = try ServerData(reading: scene.client).withoutCheckpoints.databases[0] ?? [:]
        let staysOld = policy != "overwrite" && !key.isEmpty
        for name in Self.existing + ["other"] {
            let entry = data[Array(name.utf8)]
            if name == key, staysOld {
                #expect(entry?.value == .object([.init(name: Array("f".utf8), value: .text("old"))]), "\(name)")
            } else if !stops {
                #expect(entry?.type == (name == "list" || name == "long" ? "list" : "string"), "\(name)")
            }
        }
        #expect(!data.keys.contains { $0.starts(with: Array("df2redis:".utf8)) }, "nothing of ours is left")
        if staysOld {
            #expect(daemon.deadLetters == [DeadLetter(kind: "conflict", database: 0, key: key)])
            if policy == "skip" { #expect(daemon.logs("1 existing keys left as they were")) }
            if stops {
                #expect(
                    daemon.log.contains(
                        "the key \"\(key)\" in database 0 is in the target already (conflict.policy: panic)"))
            }
        } else {
            #expect(daemon.deadLetters == [])
            #expect(try scene.client.command("LLEN", "long").int == 40_000)
            #expect(try scene.client.command("STRLEN", "large").int == 600_000)
        }
        #expect(scene.master.violations == [])
    }

    @Test func `keys of an earlier sync of the same task are never treated as conflicts`() throws {
        let scene = try Scene()
        scene.master.execute("SET a 1")
        let first = try scene.start(sections: ["conflict": ["policy: skip"]])
        try first.wait(forLine: "stable:")
        try first.leave()
        scene.master.execute("SET a 2")
        scene.master.forgetBacklog()
        let second = try scene.start(sections: ["conflict": ["policy: skip"]])
        try second.expectExit(65)
        #expect(second.logs("this task has written to the target before"))
        let third = try scene.start(sections: ["conflict": ["policy: overwrite"]])
        try third.wait(forLine: "stable:")
        #expect(try scene.get("a") == "2")
        try third.leave()
    }

    // MARK: Peers that refuse

    @Test(arguments: [nil, "wrong"])
    func `a missing or wrong source password ends the start, and the log names the setting`(_ password: String?) throws
    {
        let scene = try Scene { $0.password = "right" }
        let daemon = try scene.start(sections: ["source": password.map { ["password: \($0)"] } ?? []])
        try daemon.expectExit(77)
        #expect(
            daemon.log.contains(
                password == nil
                    ? "set source.password, source.passwordFile, or the systemd credential lab.source-password"
                    : "the source refuses the password or the user (127.0.0.1:\(scene.master.port), source.addr; the password is of source.password): WRONGPASS"
            ), "\(daemon.log)")
        #expect(scene.master.violations == [])
    }

    @Test(arguments: [nil, "wrong"])
    func `a missing or wrong target password ends the start, and the log names the setting`(_ password: String?) throws
    {
        let scene = try Scene()
        try scene.client.command("CONFIG", "SET", "requirepass", "right")
        let daemon = try scene.start(sections: ["target": password.map { ["password: \($0)"] } ?? []])
        try daemon.expectExit(77)
        #expect(
            daemon.log.contains(
                password == nil
                    ? "set target.password, target.passwordFile, or the systemd credential lab.target-password"
                    : "the target refuses the password or the user (127.0.0.1:\(scene.redis.port); the password is of target.password): WRONGPASS"
            ), "\(daemon.log)")
    }

    @Test func `correct passwords on both sides and a user name are accepted`() throws {
        let scene = try Scene { $0.password = "right" }
        try scene.client.command("ACL", "SETUSER", "copier", "on", ">right", "~*", "&*", "+@all")
        scene.master.execute("SET k v")
        let daemon = try scene.start(
            .migrate, sections: ["source": ["password: right"], "target": ["username: copier", "password: right"]])
        try daemon.expectExit(0)
        #expect(try scene.get("k") == "v")
    }

    @Test func `a password that changes together with its file is accepted`() throws {
        let scene = try Scene()
        let folder = try TemporaryFolder("password")
        try scene.client.command("CONFIG", "SET", "requirepass", "first")
        let daemon = try scene.start(
            sections: [
                "target": ["passwordFile: \(try folder.write("first\n", to: "target"))"],
                "reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"],
            ])
        try daemon.wait(forLine: "stable:")
        _ = try folder.write("second\n", to: "target")
        try scene.client.command("CONFIG", "SET", "requirepass", "second")
        try scene.client.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        scene.master.execute("SET k v")
        try wait(until: "the task goes on") { try scene.client.command("GET", "k").text == "v" }
        try daemon.leave()
    }

    @Test func `a target user that may not use SET is refused before anything is written`() throws {
        let scene = try Scene()
        try scene.client.command("ACL", "SETUSER", "reader", "on", ">right", "~*", "&*", "+@all", "-set")
        scene.master.execute("SET k v")
        let daemon = try scene.start(.migrate, sections: ["target": ["username: reader", "password: right"]])
        try daemon.expectExit(77)
        #expect(daemon.logs("may not use SET: nothing has been written"))
    }

    @Test func `a Redis as source is refused`() throws {
        let scene = try Scene()
        let other = try RedisServer()
        defer { other.stop() }
        scene.configuration.source = other.port
        let daemon = try scene.start()
        try daemon.expectExit(78)
        #expect(daemon.logs("the source is not a Dragonfly (a Redis or Valkey answers like this)"))
    }

    @Test func `a source that is a replica ends the start`() throws {
        let scene = try Scene { $0.isReplica = true }
        let daemon = try scene.start()
        try daemon.expectExit(69)
        #expect(daemon.logs("the source is itself a replica: set source.addr to its master"))
    }

    @Test func `a source that is loading is waited for until giveUpSeconds`() throws {
        let scene = try Scene()
        scene.master.refuse(Refusal.loading(times: 3))
        let first = try scene.start()
        try first.wait(forLine: "stable:")
        #expect(first.logs("the source is still loading its data set"))
        try first.leave()
        scene.master.refuse(Refusal.loading(times: .max))
        let second = try scene.start(sections: ["reconnect": ["giveUpSeconds: 1"]])
        try second.expectExit(69)
        #expect(second.logs("the source is still loading its data set"))
    }

    @Test func `an unreachable source or target ends the start, and the log names the setting`() throws {
        let scene = try Scene()
        let there = scene.configuration
        scene.configuration.source = try freePort()
        let source = try scene.start()
        try source.expectExit(69)
        #expect(source.logs("the source (source.addr): connect 127.0.0.1:"))
        scene.configuration = there
        scene.configuration.target = try freePort()
        let target = try scene.start()
        try target.expectExit(75)
        #expect(target.logs("the target (target.addr): connect 127.0.0.1:"))
    }

    @Test(arguments: ["df2redis:tasks", "df2redis:checkpoint:lab"])
    func `a foreign value under one of our own keys ends the start, and the key is named`(_ key: String) throws {
        let scene = try Scene()
        try scene.client.command("SET", key, "theirs")
        let daemon = try scene.start()
        try daemon.expectExit(78)
        #expect(daemon.logs(" \(key): WRONGTYPE"), "\(daemon.log)")
        #expect(daemon.logs("rename or remove this key there"))
    }

    @Test func `a Dragonfly as target is refused`() throws {
        let scene = try Scene()
        let other = try Scene()
        scene.configuration.target = other.master.port
        let daemon = try scene.start()
        try daemon.expectExit(78)
        #expect(daemon.logs("the target is a Dragonfly"))
    }

    @Test func `a target that is a replica is refused, and its primary is named`() throws {
        let scene = try Scene()
        let primary = try RedisServer()
        defer { primary.stop() }
        try scene.client.command("REPLICAOF", "127.0.0.1", "\(primary.port)")
        let daemon = try scene.start()
        try daemon.expectExit(75)
        #expect(
            daemon.logs(
                "the target 127.0.0.1:\(scene.redis.port) (target.addr) is a replica of 127.0.0.1:\(primary.port): write to its primary"
            ))
    }

    @Test func `a target that refuses writes for lack of replicas is waited for`() throws {
        let scene = try Scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        try scene.client.command("CONFIG", "SET", "min-replicas-to-write", "1")
        scene.master.execute("SET k v")
        try daemon.wait(forLine: "NOREPLICAS")
        try scene.client.command("CONFIG", "SET", "min-replicas-to-write", "0")
        try wait(until: "it is applied") { try scene.get("k") == "v" }
        try daemon.leave()
    }

    @Test func `a source that can continue only some flows causes a full sync`() throws {
        let scene = try Scene { $0.shardCount = 2 }
        scene.master.execute("SET k v")
        let first = try scene.start()
        try first.wait(forLine: "stable:")
        try first.leave()
        var faults = Faults()
        faults.refusesPartial = true
        scene.master.setFaults(faults, on: .flow(1))
        let second = try scene.start()
        try second.wait(forLine: "stable:")
        #expect(second.logs("the source can continue 1 of 2 flows only: a full sync is needed"))
        #expect(scene.master.fullSyncs == 2)
        try second.leave()
        #expect(scene.master.violations == [])
    }

    // MARK: Global commands

    @Test func `a leave does not wait for a target that is away at a FLUSHALL`() throws {
        let scene = try Scene()
        let daemon = try scene.start()
        try daemon.wait(forLine: "stable:")
        scene.redis.kill()
        scene.master.execute("FLUSHALL")
        try daemon.wait(forLine: "targetLost")
        daemon.process.signal(SIGTERM)
        try daemon.expectExit(0, timeout: .seconds(20))
    }
}
