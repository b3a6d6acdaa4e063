import Lab
import Testing
import Wire

extension RunAlone {
    /// The laboratory's own cluster, and how it is compared.
    @Suite struct `A cluster of the laboratory` {}
}

extension RunAlone.`A cluster of the laboratory` {
    private static let keys = (0..<600).map { "key:\($0)" }

    private func fill(_ cluster: RedisCluster, _ value: String) throws {
        let view = try cluster.view()
        let clients = try cluster.nodes.map { ($0.id, try $0.client()) }
        let client = Dictionary(uniqueKeysWithValues: clients)
        for key in Self.keys {
            let owner = try #require(view.owner(of: ClusterSlot.of(Array(key.utf8))))
            try client[owner]?.command("SET", key, value)
        }
    }

    private func withFilledSource(_ body: (RESPClient) throws -> Void) throws {
        let source = try RedisServer()
        defer { source.stop() }
        let client = try source.client()
        for key in Self.keys { try client.command("SET", key, "v") }
        try body(client)
    }

    private func expectFilled(_ cluster: RedisCluster) throws {
        try withFilledSource { source in
            let comparison = try ServerComparison(source: source, target: cluster)
            #expect(comparison.isEqual)
        }
    }

    @Test func `is compared with a standalone server, key by key over all its nodes`() throws {
        let cluster = try RedisCluster()
        defer { cluster.stop() }
        let replicas = try cluster.masters().map { try cluster.replicas(of: $0).count }
        #expect(replicas == [1, 1, 1])
        try fill(cluster, "v")
        let checkpoint = "df2redis:checkpoint:lab"
        try cluster.command(["HSET", checkpoint, "databases", "0"], key: checkpoint)
        try cluster.command(["HSET", "{abc}df2redis:mark:lab", "0", "17"], key: "abc")
        try withFilledSource { source in
            let equal = try ServerComparison(source: source, target: cluster)
            #expect(equal.isEqual)
            #expect(equal.keyCount == Self.keys.count)
            #expect(equal.ownKeys == Set([checkpoint, "{abc}df2redis:mark:lab"].map { [UInt8]($0) }))
            #expect(try ServerData(reading: cluster).withoutCheckpoints == ServerData(reading: source))

            try cluster.command(["SET", "key:7", "w"], key: "key:7")
            try cluster.command(["DEL", "key:8"], key: "key:8")
            try cluster.command(["SET", "new", "v"], key: "new")
            let different = try ServerComparison(source: source, target: cluster)
            #expect(different.differences.map { String(decoding: $0.key, as: UTF8.self) } == ["key:7", "key:8", "new"])
        }
    }

    @Test func `keeps its keys when slots move, and a key left on the wrong node is found`() throws {
        let cluster = try RedisCluster(replicas: 0)
        defer { cluster.stop() }
        try fill(cluster, "v")
        let masters = try cluster.masters()
        let moved = try #require(try cluster.view().masters.first?.slots.first?.prefix(300))
        try cluster.moveSlots(moved, from: masters[0], to: masters[2])
        try cluster.settle()
        let view = try cluster.view()
        #expect(moved.allSatisfy { view.owner(of: $0) == masters[2].id })
        try withFilledSource { source in
            #expect(try ServerComparison(source: source, target: cluster).isEqual)

            let slot = try #require(moved.last) + 1
            let left = try #require((0...).lazy.map { "left:\($0)" }.first { ClusterSlot.of(Array($0.utf8)) == slot })
            // Like an interrupted move: the key is on the node to which the slot was to move.
            try cluster.beginMoving(slot, from: masters[0], to: masters[1])
            let client = try masters[1].client()
            try client.command("ASKING")
            try client.command("SET", left, "v")
            try cluster.closeOpenSlots()
            #expect { try ServerComparison(source: source, target: cluster) } throws: { "\($0)".contains("left:") }
        }
    }

    @Test(arguments: RedisCluster.Failover.allCases)
    func `promotes a replica at a failover`(_ kind: RedisCluster.Failover) throws {
        let cluster = try RedisCluster()
        defer { cluster.stop() }
        try fill(cluster, "v")
        let master = try cluster.master(of: "key:1")
        let new = try cluster.failOver(master, kind)
        try cluster.settle()
        #expect(try cluster.master(of: "key:1") === new)
        try expectFilled(cluster)
    }

    @Test
    func `replaces a killed master by its replica, and can cut a node off from its clients only`()
        throws
    {
        let cluster = try RedisCluster(usesProxies: true)
        defer { cluster.stop() }
        try fill(cluster, "v")
        let master = try cluster.master(of: "key:1")
        master.server.kill()
        let new = try cluster.waitForSuccessor(of: master)
        try master.server.restart()
        try cluster.settle()
        #expect(try cluster.master(of: "key:1") === new)
        try expectFilled(cluster)

        #expect(try RESPClient(port: new.port).command("GET", "key:1").text == "v")
        new.cutOff()
        #expect(throws: LabError.self) { try RESPClient(port: new.port).command("GET", "key:1") }
        #expect(try cluster.view().masters.contains { $0.id == new.id && !$0.isFailing })
        new.reconnect()
        try cluster.settle()
        #expect(try RESPClient(port: new.port).command("GET", "key:1").text == "v")
    }
}
