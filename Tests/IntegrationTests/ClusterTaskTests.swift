import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

extension RunAlone {
    @Suite struct `A task into a cluster` {}
}

extension RunAlone.`A task into a cluster` {
    @Test func `copies values of every type, resumes after a restart, and keeps its position at the target`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        let seed = printedSeed()
        let before = try RandomWriter(port: scene.master.port, databases: [0], keys: 60, seed: seed)
        try wait(until: "there is something to sync") { before.commandCount > 3000 }
        let first = try scene.start()
        try first.wait(forLine: "stable: following")
        #expect(first.logs("a cluster of 3 masters"))
        try wait(until: "it follows for a while") { before.commandCount > 20_000 }
        try before.stop()
        try scene.waitUntilEqual()
        try scene.leave()
        #expect(try ServerComparison(source: scene.source, target: scene.cluster).isEqual)
        let own = try scene.ownKeys()
        #expect(own == ClusterScene.remains)
        let check = try first.run("check", "--settle", "0.2", "--mode", "outline")
        #expect(check.code == 0 && check.output.hasPrefix("equal: "), "\(check)")
        let preflight = try first.run("preflight")
        #expect(preflight.output.contains("all 16384 are served, by 3 masters"), "\(preflight)")
        #expect(preflight.output.contains("the next start continues where it has left"), "\(preflight)")

        let meanwhile = try RandomWriter(port: scene.master.port, databases: [0], keys: 60, seed: seed &+ 100)
        try wait(until: "the source has gone on") { meanwhile.commandCount > 1000 }
        let second = try scene.start()
        try second.wait(forLine: "resuming at the checkpoint")
        try wait(until: "it has gone on again") { meanwhile.commandCount > 6000 }
        try meanwhile.stop()
        try scene.waitUntilEqual()
        try scene.leave()
        #expect(!second.log.contains("full sync begins"))
        let last = try scene.ownKeys()
        #expect(last == ClusterScene.remains)
        #expect(scene.master.violations == [])
    }

    /// Managed services may forbid RESTORE, without which no value can be copied from slot to slot.
    @Test func `reads keys of multi-slot commands at the source if its user may not use RESTORE`() throws {
        let scene = try ClusterScene(
            into: RedisCluster(replicas: 0), ["target": ["type: cluster", "username: app", "password: secret"]])
        for node in scene.cluster.nodes {
            try node.client().command(
                "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-@admin", "-@dangerous", "+info")
        }
        func fill(_ prefix: String) {
            for index in 0..<20 {
                scene.master.execute("SET \(prefix):s:\(index) v PX 3600000")
                scene.master.execute("RPUSH \(prefix):l:\(index) a b c")
                scene.master.execute("SADD \(prefix):set:\(index) a b")
            }
        }
        func rename(_ prefix: String) {
            for index in 0..<20 {
                scene.master.execute("RENAME \(prefix):s:\(index) \(prefix):renamed:\(index)")
                scene.master.execute("RENAME \(prefix):l:\(index) \(prefix):list:\(index)")
                scene.master.execute("RPUSH \(prefix):list:\(index) d")
                scene.master.execute("SMOVE \(prefix):set:\(index) \(prefix):other:\(index) a")
            }
        }
        fill("early")
        let daemon = try scene.start(sections: ["refresh": ["keysPerSecond: 1000"]])
        try daemon.wait(forLine: "stable: following")
        let loss = "a command whose keys are in several slots, such as RENAME or SMOVE, is not run"
        #expect(daemon.logs(loss))
        let preflight = try daemon.run("preflight")
        #expect(preflight.output.contains(loss), "\(preflight)")
        rename("early")
        fill("late")
        rename("late")
        try scene.waitUntilEqual()
        try scene.leave()
        let kinds = Set(daemon.deadLetters.map(\.kind))
        #expect(kinds == ["cross-slot"])
        #expect(scene.master.violations == [])
    }

    @Test func `has a preflight that notices lost writes of a node, as the next start does`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        let first = try scene.start()
        try first.wait(forLine: "stable: following")
        for index in 0..<100 { scene.master.execute("SET k:\(index) v") }
        try scene.waitUntilEqual()
        try wait(until: "both flows expect something of the nodes") {
            try ["nodes:0", "nodes:1"].allSatisfy {
                try scene.cluster.command(["HGET", ClusterScene.checkpoint, $0], key: ClusterScene.checkpoint).text?
                    .contains(" ")
                    == true
            }
        }
        first.process.kill()
        let whole = try first.run("preflight")
        #expect(whole.output.contains("the next start continues where it has left"), "\(whole)")
        for node in try scene.cluster.masters() {
            let client = try node.client()
            for mark in try client.command("KEYS", "*df2redis:node:*").array ?? [] {
                try client.command("DEL", mark.text ?? "")
            }
        }
        let reason = "a node of the target has come back without what had been written there"
        let lacking = try first.run("preflight")
        #expect(lacking.output.contains("the next start makes a full sync: \(reason)"), "\(lacking)")
        let second = try scene.start()
        try second.wait(forLine: "came back without writes that the cluster had confirmed: a full sync is needed")
        #expect(scene.master.violations == [])
    }

    @Test func `applies a FLUSHALL on every node, and the commands before and after it exactly once`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for index in 0..<500 { scene.master.execute("SET old:\(index) v") }
        let daemon = try scene.start()
        try daemon.wait(forLine: "event=stable")
        for round in 0..<5 {
            for index in 0..<200 { scene.master.execute("INCR n:\(index)") }
            try scene.source.command("FLUSHALL")
            for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
            for index in 0..<100 { scene.master.execute("APPEND s:\(index) \(round)-") }
        }
        try scene.waitUntilEqual()
        #expect(try DataReader(scene.source).keyCount() == 200)
        daemon.process.kill()
        for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
        try scene.source.command("FLUSHALL")
        for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
        let second = try scene.start()
        try second.wait(forLine: "resuming at the checkpoint")
        try scene.waitUntilEqual()
        try second.leave()
        #expect(try scene.ownKeys() == ClusterScene.remains)
    }

    @Test func `removes keys deleted at the source in the meantime, on every node`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for index in 0..<2000 { scene.master.execute("SET old:\(index) v") }
        let first = try scene.start()
        try first.wait(forLine: "event=stable")
        try scene.waitUntilEqual()
        try scene.leave()
        for index in stride(from: 0, to: 2000, by: 2) { scene.master.execute("DEL old:\(index)") }
        scene.master.forgetBacklog()
        let second = try scene.start()
        try second.wait(forLine: "reconciled: 1000 keys removed")
        try scene.waitUntilEqual()
        try second.leave()
        #expect(try scene.ownKeys() == ClusterScene.remains)
    }

    @Test func `empties every node first with fullSync.existing: flush`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for index in 0..<1000 { scene.master.execute("SET key:\(index) v") }
        for index in 0..<1000 { try scene.cluster.command(["SET", "foreign:\(index)", "v"], key: "foreign:\(index)") }
        let daemon = try scene.start(sections: ["fullSync": ["existing: flush"]])
        try daemon.wait(forLine: "event=stable")
        try scene.waitUntilEqual()
        try daemon.leave()
    }

    @Test(arguments: ["skip", "panic"])
    func `leaves the cluster's own keys unchanged with conflict.policy skip or panic`(_ policy: String) throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for index in 0..<300 { scene.master.execute("SET key:\(index) new") }
        scene.master.execute("RPUSH list a b c")
        for key in ["key:7", "key:8", "key:9", "list"] { try scene.cluster.command(["SET", key, "old"], key: key) }
        let daemon = try scene.start(.migrate, sections: ["conflict": ["policy: \(policy)"]])
        try daemon.expectExit(policy == "panic" ? 65 : 0)
        for key in ["key:7", "key:8", "key:9", "list"] {
            #expect(try scene.cluster.command(["GET", key], key: key).text == "old")
        }
        guard policy == "skip" else { return }
        #expect(try scene.cluster.command(["GET", "key:10"], key: "key:10").text == "new")
        #expect(daemon.logs("4 existing keys left as they were"))
    }

    @Test func `keeps every expiry deadline, including those during the sync and after a leave`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for index in 0..<500 { scene.master.execute("SET far:\(index) v PXAT 2019686400\(String(index + 100))") }
        for index in 0..<200 { scene.master.execute("SET near:\(index) v PX \(60_000 + index)") }
        let daemon = try scene.start()
        try daemon.wait(forLine: "event=stable")
        for index in 0..<100 { scene.master.execute("PERSIST near:\(index)") }
        for index in 0..<100 { scene.master.execute("SET soon:\(index) v PX 300") }
        try wait(until: "the source has expired what was to expire") {
            try scene.source.command("EXISTS", "soon:1").int == 0
        }
        try daemon.leave()
        try waitUntilEqual(timeout: .seconds(20)) {
            try ServerComparison(source: scene.source, target: scene.cluster).differences.filter { difference in
                // Keys that are due within the time of a restart get a later deadline at a leave.
                if case .expiry = difference.kind { !difference.key.starts(with: Array("near:".utf8)) } else { true }
            }
        }
    }

    @Test func `stops at keys of other databases, unless the configuration skips those databases`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for index in 0..<100 { scene.master.execute("SET key:\(index) v") }
        for index in 0..<100 { scene.master.execute("SET other:\(index) v", database: 3) }
        let stopped = try scene.start()
        try stopped.expectExit(65)
        #expect(stopped.logs("in database 3: the target has no such database"))
        #expect(stopped.logs("target.database: {<number>: skip}"))

        let named = ["target": ["database: {0: 0, 3: skip}"]]
        let daemon = try scene.start(sections: named)
        try daemon.wait(forLine: "event=stable")
        scene.master.execute("SET other:new v", database: 3)
        scene.master.execute("SET last v")
        try wait(until: "the last one is there") {
            try scene.cluster.command(["EXISTS", "last"], key: "last").int == 1
        }
        try daemon.leave()
        let data = try ServerData(reading: scene.cluster).withoutCheckpoints
        #expect(data.databases[0]?.count == 101)
        #expect(daemon.deadLetters.allSatisfy { $0.kind == "database-number" })
        #expect(daemon.deadLetters.contains { $0.key == "other:new" && $0.database == 3 })

        let unnamed = try scene.start(sections: ["target": ["database: {5: skip}"]])
        scene.master.execute("SET fifth v", database: 5)
        scene.master.execute("SET third v", database: 3)
        try unnamed.expectExit(65)
        #expect(unnamed.logs("in database 3: the target has no such database (policy.onUnsupported: stop"))
    }

    @Test func `needs only the rights listed in the README`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        let rules = [
            "on", ">password", "~key*", "~list*", "~df2redis:*", "~{*}df2redis:*", "-@all", "+@read", "+@write",
            "+@connection", "+@transaction", "+@scripting", "+info", "+config|get", "+cluster|shards", "+cluster|slots",
            "+cluster|nodes", "+cluster|info", "+cluster|getkeysinslot",
        ]
        for node in scene.cluster.nodes { try node.client().command(["ACL", "SETUSER", "df2redis"] + rules) }
        for index in 0..<500 { scene.master.execute("SET key:\(index) v EX \(1000 + index)") }
        scene.master.execute("RPUSH list:1 a b c")
        let user = ["target": ["username: df2redis", "password: password"]]
        let daemon = try scene.start(sections: user)
        try daemon.wait(forLine: "event=stable")
        for index in 0..<500 { scene.master.execute("APPEND key:\(index) w") }
        scene.master.execute("RENAME list:1 list:2")
        try scene.source.command("FLUSHALL")
        for index in 0..<200 { scene.master.execute("INCR key:\(index)") }
        try scene.waitUntilEqual()
        try daemon.leave()
        #expect(!daemon.log.contains("does not allow"))

        try scene.cluster.nodes[2].client().command("ACL", "SETUSER", "df2redis", "-cluster|nodes", "-append")
        let refused = try scene.start(sections: user)
        try refused.expectExit(77)
        #expect(refused.logs("may not use APPEND, CLUSTER NODES"))
        #expect(refused.logs("ACL SETUSER df2redis +append +cluster|nodes"))
    }

    @Test func `needs no right to load scripts, and applies the commands around a script exactly once`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        let rules = ["on", ">password", "~*", "&*", "+@all", "-script"]
        for node in scene.cluster.nodes { try node.client().command(["ACL", "SETUSER", "df2redis"] + rules) }
        let daemon = try scene.start(sections: ["target": ["username: df2redis", "password: password"]])
        try daemon.wait(forLine: "event=stable")
        for round in 0..<20 {
            for index in 0..<10 { scene.master.execute("INCR n:\(index)") }
            scene.master.send(journal: [JournalEntry("SCRIPT LOAD return(\(round))")], flow: 0)
            for index in 0..<10 { scene.master.execute("RPUSH l:\(index) \(round)") }
        }
        try scene.waitUntilEqual()
        try scene.leave()
        #expect(Set(daemon.deadLetters) == [DeadLetter(kind: "script", database: 0, key: "LOAD")])
    }

    /// Bytes that DUMP cannot compress.
    private static func noise(_ count: Int) -> String {
        var state: UInt64 = 1
        return String(
            decoding: (0..<count).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return UInt8(ascii: "0") + UInt8(state >> 58)
            }, as: UTF8.self)
    }

    @Test(arguments: [true, false])
    func `skips a value over the target's limits, and moves a large value to another slot in pieces`(
        _ isReadable: Bool
    ) throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0, ["--proto-max-bulk-len", "1mb"]))
        let rules = ["on", ">password", "~*", "&*", "+@all"] + (isReadable ? [] : ["-config"])
        for node in scene.cluster.nodes { try node.client().command(["ACL", "SETUSER", "df2redis"] + rules) }
        let daemon = try scene.start(
            sections: [
                "target": ["username: df2redis", "password: password"], "policy": ["onError: skip"],
                "reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"],
            ])
        try daemon.wait(forLine: "event=stable")
        for index in 0..<40 { scene.master.execute("INCR n:\(index % 10)") }
        scene.master.execute("SET big \(Self.noise(3 << 20))")
        for index in 0..<40 { scene.master.execute("INCR n:\(index % 10)") }
        try wait(until: "it is reported") { !daemon.deadLetters.isEmpty }
        #expect(daemon.deadLetters == [DeadLetter(kind: "over-limit", database: 0, key: "big")])
        scene.master.execute("SET big small")
        try scene.waitUntilEqual()

        let half = Self.noise(700_000)
        for _ in 0..<2 { scene.master.execute("RPUSH value \(half)") }
        scene.master.execute("RENAME value other")
        for index in 0..<40 { scene.master.execute("INCR n:\(index % 10)") }
        try scene.waitUntilEqual()
        #expect(daemon.deadLetters.dropFirst() == [DeadLetter(kind: "over-limit", database: 0, key: "value")])
        #expect(scene.master.fullSyncs == 1)
        try scene.leave()
    }

    @Test func `finds the cluster through its other nodes if the seed node is gone`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 1))
        let daemon = try scene.start()
        try daemon.wait(forLine: "event=stable")
        for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
        try scene.waitUntilEqual()
        let seed = scene.cluster.nodes[0]
        seed.server.kill()
        _ = try scene.cluster.waitForSuccessor(of: seed)
        scene.master.endSessions()
        for index in 0..<100 { scene.master.execute("INCR n:\(index)") }
        try wait(until: "all is counted again", timeout: .seconds(60)) {
            // The cluster is down until all nodes know the successor.
            (0..<100).allSatisfy { (try? scene.cluster.command(["GET", "n:\($0)"], key: "n:\($0)"))?.text == "2" }
        }
        #expect(scene.master.fullSyncs == 1)
        try daemon.leave()
    }

    @Test func `names only the node that does not answer`() throws {
        let scene = try ClusterScene(into: RedisCluster(replicas: 0))
        for node in scene.cluster.nodes {
            try node.client().command("CONFIG", "SET", "cluster-node-timeout", "120000")
        }
        let daemon = try scene.start(sections: ["target": ["silentSeconds: 3"]])
        try daemon.wait(forLine: "stable: following")
        // Enough keys to open a connection to each node.
        for number in 0..<300 { scene.master.execute("SET before:\(number) v") }
        try scene.waitUntilEqual()
        let silent = scene.cluster.nodes[2]
        silent.server.pause()
        defer { silent.server.resume() }
        for number in 0..<300 { scene.master.execute("SET silent:\(number) v") }
        try daemon.wait(forLine: "the target's node \(silent.address) has been silent for")
        #expect(!daemon.log.contains("\(scene.cluster.nodes[0].address) has been silent"))
    }

    @Test func `suggests the right target.type if the target is of the other kind`() throws {
        let scene = try ClusterScene(into: RedisCluster(masters: 1, replicas: 0))
        let redis = try RedisServer()
        defer { redis.stop() }
        let asServer = try Daemon(
            .replicate, .init(source: scene.master.port, target: scene.cluster.nodes[0].port))
        defer { asServer.process.kill() }
        try asServer.expectExit(78)
        #expect(asServer.logs("set target.type: cluster"))
        let asCluster = try Daemon(
            .replicate,
            .init(source: scene.master.port, target: redis.port, sections: ["target": ["type: redis-cluster"]]))
        defer { asCluster.process.kill() }
        try asCluster.expectExit(78)
        #expect(asCluster.logs("set target.type: standalone"))
    }
}
