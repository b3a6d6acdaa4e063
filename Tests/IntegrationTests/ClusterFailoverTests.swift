import DragonflySimulator
import Lab
import Testing
import Wire

/// A task whose target is a cluster, with all its nodes as seeds.
private final class Scene: TaskScene<RedisCluster> {
    init(replicas: Int = 1, keys: Int = 200) throws {
        let master = try startedMaster { $0.backlogRecords = 4_000_000 }
        for index in 0..<keys { master.execute("SET old:\(index) v") }
        let cluster = try RedisCluster(replicas: replicas)
        let seeds = cluster.nodes.map { "\"\($0.address)\"" }.joined(separator: ", ")
        try super.init(
            from: master, into: cluster,
            [
                "target": ["cluster: {seeds: [\(seeds)]}"],
                "reconnect": ["initialMilliseconds: 50", "maxSeconds: 1"],
            ])
        try follow()
    }

    /// A master that does not have the checkpoint.
    func other() throws -> RedisCluster.Node {
        let keeper = try cluster.master(of: Self.checkpoint)
        return try #require(try cluster.masters().first { $0 !== keeper })
    }

    /// One of the keys that `node` serves.
    func key(at node: RedisCluster.Node) throws -> String {
        try #require(try (0..<1000).map { "new:\($0)" }.first { try cluster.master(of: $0) === node })
    }

    /// Lets the replica of `node` take its place without what `body` writes.
    func replace(_ node: RedisCluster.Node, after body: () throws -> Void) throws {
        try wait(until: "it has its replica") { try !cluster.replicas(of: node).isEmpty }
        let replica = try #require(try cluster.replicas(of: node).first)
        try node.client().command("WAIT", "1", "10000")
        replica.server.pause()
        try node.client().command("CLIENT", "KILL", "TYPE", "replica")
        do { try body() } catch {
            replica.server.resume()
            throw error
        }
        node.server.kill()
        replica.server.resume()
        try wait(until: "its replica is the master") { try cluster.masters().contains { $0 === replica } }
        try cluster.settle()
    }

    func waitUntilApplied(_ key: String, at node: RedisCluster.Node) throws {
        try wait(until: "\(key) is there") { try node.client().command("EXISTS", key).int == 1 }
    }
}

extension RunAlone {
    @Suite struct `Failovers of a cluster whose replicas lag` {}
}

extension RunAlone.`Failovers of a cluster whose replicas lag` {
    @Test func `a FLUSHALL that a promoted replica lacks is noticed before the next write goes there`() throws {
        let scene = try Scene()
        try scene.waitUntilEqual()
        let node = try scene.other()
        let key = try scene.key(at: node)
        try scene.replace(node) {
            try scene.source.command("FLUSHALL")
            try scene.daemon.wait(forLine: "FLUSHALL applied")
        }
        try scene.source.command("INCR", key)
        try scene.daemon.wait(forLine: "without a flush")
        try scene.waitUntilEqual()
        #expect(scene.daemon.logs("a full sync is needed"))
        #expect(scene.master.violations == [])
    }

    @Test(arguments: [true, false])
    func `a replica promoted without the last writes while no task runs is noticed at the next start`(
        wasOrderly: Bool
    ) throws {
        let scene = try Scene()
        let node = try scene.other()
        for index in 0..<300 { scene.master.execute("INCR n:\(index)") }
        try scene.waitUntilEqual()
        try scene.replace(node) {
            for index in 0..<300 { scene.master.execute("INCR n:\(index)") }
            try scene.waitUntilEqual()
            if wasOrderly { try scene.daemon.leave() } else { scene.daemon.process.kill() }
        }
        try scene.start()
        // After an orderly end no mark says which of the records since then a slot has.
        try scene.daemon.wait(forLine: wasOrderly ? "came back without a flush" : "came back without writes")
        for index in 0..<300 { scene.master.execute("INCR n:\(index)") }
        try scene.waitUntilEqual()
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    enum Loss: CaseIterable { case end, outage, fullSync }

    @Test(arguments: Loss.allCases)
    func `the loss of the last writes is noticed at the master that holds the checkpoint`(
        _ loss: Loss
    ) throws {
        let scene = try Scene()
        let keeper = try scene.cluster.master(of: Scene.checkpoint)
        let count = { for index in 0..<300 { scene.master.execute("INCR n:\(index)") } }
        count()
        try scene.waitUntilEqual()
        try scene.replace(keeper) {
            count()
            try scene.waitUntilEqual()
            switch loss {
            case .end: try scene.daemon.leave()
            case .outage:
                // Long enough to cover the failover.
                scene.master.refuse(Refusal.loading(times: 20))
                scene.master.endSessions()
                try scene.daemon.wait(forLine: "event=left")
            case .fullSync:
                // The source still has the records since the position before it.
                scene.daemon.process.kill()
                let daemon = try scene.start(sections: ["checkpoint": ["enabled: false"]])
                try daemon.wait(forLine: "full sync done")
                try scene.waitUntilEqual()
                daemon.process.kill()
            }
        }
        if loss != .outage { try scene.start() }
        // The other masters have the later records, and nothing says which of them.
        try scene.daemon.wait(forLine: "that the node with the checkpoint has come back without", timeout: .seconds(60))
        count()
        try scene.waitUntilEqual()
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `an emptied master is noticed at the next write to it`() throws {
        let scene = try Scene(replicas: 0)
        let node = try scene.other()
        for index in 0..<300 { scene.master.execute("INCRBY n:\(index) 1000") }
        try scene.waitUntilEqual()
        try node.client().command("FLUSHALL")
        for index in 0..<300 { scene.master.execute("INCR n:\(index)") }
        try scene.daemon.wait(forLine: "a full sync is needed: a node of the target was emptied")
        try scene.waitUntilEqual()
        #expect(scene.master.violations == [])
    }

    @Test func `a flow is not rewound past a FLUSHALL that the other flows have applied`() throws {
        let scene = try Scene()
        let node = try scene.other()
        let key = try scene.key(at: node)
        // Each flow has an older mark on the node.
        for index in 0..<300 { scene.master.execute("SET before:\(index) v") }
        try scene.waitUntilEqual()
        try scene.replace(node) {
            try scene.source.command("FLUSHALL")
            try scene.source.command("SET", key, "v")
            try scene.waitUntilApplied(key, at: node)
        }
        try scene.daemon.wait(forLine: "without a flush")
        for index in 0..<300 { scene.master.execute("SET after:\(index) v") }
        try scene.waitUntilEqual()
        try scene.source.command("FLUSHALL")
        try scene.source.command("SET", key, "w")
        try scene.waitUntilEqual()
        #expect(!scene.daemon.log.contains("do not meet"))
    }

    @Test func `after a reconciling full sync, every flow expects a mark on every master`() throws {
        let scene = try Scene(replicas: 0)
        try scene.waitUntilEqual()
        scene.master.withholdingRecords { for index in 0..<100 { scene.master.execute("DEL old:\(index)") } }
        scene.master.forgetBacklog()
        scene.master.endSessions()
        try scene.daemon.wait(forLine: "reconciled: 100 keys removed")
        let keeper = try scene.cluster.master(of: Scene.checkpoint).client()
        for flow in 0..<2 {
            let expected = try keeper.command("HGET", Scene.checkpoint, "nodes:\(flow)").text ?? ""
            let words = expected.split(separator: " ")
            #expect(
                words.first?.hasPrefix("floor:") == true && words.count { $0.split(separator: ":").count == 5 } == 3)
        }
        try scene.waitUntilEqual()
    }

    @Test func `lost writes are noticed and repeated while the source is idle`() throws {
        let scene = try Scene()
        try scene.waitUntilEqual()
        let node = try scene.other()
        let key = try scene.key(at: node)
        try scene.replace(node) {
            for index in 0..<200 { scene.master.execute("SET old:\(index) new") }
            scene.master.execute("SET \(key) v")
            try scene.waitUntilApplied(key, at: node)
            try scene.waitUntilEqual()
        }
        try scene.daemon.wait(forLine: "came back without writes", timeout: .seconds(20))
        try scene.waitUntilEqual()
    }

    @Test func `a master that comes back empty is noticed while the source is idle, and filled again`()
        throws
    {
        let scene = try Scene(replicas: 0)
        try scene.waitUntilEqual()
        let node = try scene.other()
        node.server.kill()
        try node.server.restart()
        try scene.daemon.wait(forLine: "came back without writes", timeout: .seconds(20))
        try scene.waitUntilEqual()
    }

    enum Memory: CaseIterable {
        case process, registry, marks
    }

    @Test(arguments: Memory.allCases)
    func `old keys on the other masters are removed if the master with the checkpoint loses its data`(
        _ memory: Memory
    ) throws {
        let scene = try Scene(replicas: 0)
        for index in 0..<200 { scene.master.execute("SET old:\(index) w") }
        try scene.waitUntilEqual()
        let keeper = try scene.cluster.master(of: Scene.checkpoint)
        if memory != .process { scene.daemon.process.kill() }
        if memory == .marks { try scene.cluster.command(["DEL", "df2redis:tasks"], key: "df2redis:tasks") }
        keeper.server.kill()
        for index in 0..<150 { scene.master.execute("DEL old:\(index)") }
        try keeper.server.restart()
        try scene.cluster.settle()
        if memory != .process { try scene.start() }
        try scene.daemon.wait(forLine: "removed that the source does not have")
        #expect(scene.daemon.logs("a full sync is needed: the target no longer holds this task's checkpoint"))
        try scene.waitUntilEqual()
    }
}
