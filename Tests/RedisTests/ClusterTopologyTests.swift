import Link
import Redis
import Testing
import Wire

@Suite("Slots, tags and topologies of a cluster")
struct ClusterTopologyTests {
    @Test("A key's slot is the one that a cluster computes")
    func slots() {
        // Each as CLUSTER KEYSLOT answers.
        for (key, slot) in [
            ("foo", 12182), ("123456789", 12739), ("{user1000}.following", 3443), ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363), ("foo{{bar}}zap", 4015), ("foo{bar}{zap}", 5061), ("", 0),
        ] {
            #expect(KeySlot(of: key).number == slot, "\(key)")
        }
        #expect(KeySlot(of: "a}b{").number == hashSlot(of: Array("a}b{".utf8)))
    }

    @Test("Each slot has a tag of its own that lies in it and never changes")
    func tags() {
        for slot in KeySlot.all {
            let tag = SlotTag.tag(of: slot)
            #expect(!tag.isEmpty && tag.count <= 4)
            #expect(KeySlot(of: tag) == slot)
            #expect(KeySlot(of: SlotTag.key("df2redis:mark:prod", in: slot)) == slot)
        }
        // Names in targets depend on these.
        let pinned = [0, 1, 5461, 12182, 16383].map { String(decoding: SlotTag.tag(of: KeySlot($0)), as: UTF8.self) }
        #expect(pinned == ["1bz", "emj", "3zu", "foo", "hia"])
    }

    private let origin = ClusterTopology.Reading(origin: Endpoint(host: "10.0.0.9", port: 7000))

    private func words(_ pairs: (String, RESPValue)...) -> RESPValue {
        .array(pairs.flatMap { [.bulk(Array($0.0.utf8)), $0.1] })
    }

    private func text(_ text: String) -> RESPValue { .bulk(Array(text.utf8)) }

    private func member(
        _ id: String, _ host: RESPValue, _ port: Int64, _ role: String, health: String = "online"
    )
        -> RESPValue
    {
        words(
            ("id", text(id)), ("port", .integer(port)), ("tls-port", .integer(port + 1000)), ("ip", text("10.0.0.1")),
            ("endpoint", host), ("role", text(role)), ("health", text(health)))
    }

    private func shard(_ slots: [Int64], _ nodes: [RESPValue]) -> RESPValue {
        words(("slots", .array(slots.map { .integer($0) })), ("nodes", .array(nodes)))
    }

    @Test("CLUSTER SHARDS names masters, replicas and slots")
    func shards() throws {
        let reply = RESPValue.array([
            shard(
                [5461, 10922, 16000, 16383],
                [
                    member("b2", text("10.0.0.5"), 7005, "replica"), member("b1", text("10.0.0.2"), 7002, "master"),
                ]),
            shard([0, 5460], [member("a1", text(""), 7001, "master")]),
            shard([], [member("c1", text("10.0.0.3"), 7003, "master")]),
        ])
        let topology = try #require(ClusterTopology(shards: reply, origin))
        #expect(topology.masters.map(\.id) == ["a1", "b1"])
        // No host: the one connected to. (The node's own address may belong to a network that cannot be reached.)
        #expect(topology.master(of: KeySlot(0))?.endpoint == Endpoint(host: "10.0.0.1", port: 7001))
        #expect(topology.master(of: KeySlot(16000))?.endpoint == Endpoint(host: "10.0.0.2", port: 7002))
        #expect(topology.master(of: KeySlot(12000)) == nil)
        #expect(topology.uncovered == 16000 - 10923)
        #expect(topology.shards[1].replicas.map(\.id) == ["b2"])
        #expect(topology.firstSlot(of: topology.masters[1]) == KeySlot(5461))
    }

    @Test("With TLS the TLS port is used, and an address map replaces addresses behind NAT")
    func reading() throws {
        var reading = origin
        reading.usesTLS = true
        reading.addressMap = [Endpoint(host: "db.example", port: 8001): Endpoint(host: "127.0.0.1", port: 9001)]
        let reply = RESPValue.array([shard([0, 16383], [member("a1", text("db.example"), 7001, "master")])])
        let topology = try #require(ClusterTopology(shards: reply, reading))
        #expect(topology.masters.map(\.endpoint) == [Endpoint(host: "127.0.0.1", port: 9001)])
    }

    @Test("During a failover the master that is online is used")
    func failover() throws {
        let reply = RESPValue.array([
            shard(
                [0, 16383],
                [
                    member("a1", text("h1"), 7001, "master", health: "fail"), member("a2", text("h2"), 7002, "master"),
                ])
        ])
        let topology = try #require(ClusterTopology(shards: reply, origin))
        #expect(topology.masters.map(\.id) == ["a2"])
    }

    @Test("CLUSTER SLOTS gives the same topology, and an unknown host is the one connected to")
    func slotsReply() throws {
        func node(_ host: RESPValue, _ port: Int64, _ id: String) -> RESPValue {
            .array([host, .integer(port), text(id), .array([])])
        }
        let reply = RESPValue.array([
            .array([.integer(0), .integer(100), node(.bulk(nil), 7001, "a1"), node(text("h9"), 7009, "a2")]),
            .array([.integer(200), .integer(300), node(.bulk(nil), 7001, "a1"), node(text("h9"), 7009, "a2")]),
            .array([.integer(101), .integer(199), node(text("?"), 7002, "b1")]),
        ])
        let topology = try #require(ClusterTopology(slots: reply, origin))
        #expect(topology.shards.count == 2)
        #expect(topology.master(of: KeySlot(250))?.endpoint == Endpoint(host: "10.0.0.9", port: 7001))
        #expect(topology.master(of: KeySlot(150))?.endpoint == Endpoint(host: "10.0.0.9", port: 7002))
        #expect(topology.shards[0].replicas.map(\.endpoint) == [Endpoint(host: "h9", port: 7009)])
    }

    @Test(
        "A reply that is no list of slots gives no topology",
        arguments: [
            RESPValue.error("ERR unknown subcommand"), .array([.integer(1)]),
            .array([.array([.integer(5), .integer(1)])]),
            .array([.array([.integer(0), .integer(16384), .array([])])]),
        ])
    func malformed(reply: RESPValue) {
        #expect(ClusterTopology(shards: reply, origin) == nil)
        #expect(ClusterTopology(slots: reply, origin) == nil)
    }

    @Test("Redirections are read, also from an error of EXEC")
    func redirections() {
        func redirection(_ text: String) -> ClusterRedirection? { ClusterRedirection(text, origin) }
        #expect(
            redirection("MOVED 3999 10.0.0.2:6381") == .moved(KeySlot(3999), Endpoint(host: "10.0.0.2", port: 6381)))
        #expect(redirection("MOVED 3999 :6381") == .moved(KeySlot(3999), Endpoint(host: "10.0.0.9", port: 6381)))
        #expect(redirection("ASK 1 fe80::1:6381") == .ask(KeySlot(1), Endpoint(host: "fe80::1", port: 6381)))
        #expect(redirection("ASK 16384 h:1") == nil)
        #expect(redirection("TRYAGAIN Multiple keys request during rehashing of slot") == .tryAgain)
        #expect(
            redirection("EXECABORT Transaction discarded because of: MOVED 7 h:1")
                == .moved(KeySlot(7), Endpoint(host: "h", port: 1)))
        #expect(redirection("CLUSTERDOWN The cluster is down") == .down("CLUSTERDOWN The cluster is down"))
        #expect(redirection("ERR value is not an integer or out of range") == nil)
    }
}
