import Lab
import Link
import Testing
import Wire

@testable import Redis

/// A cluster of the laboratory, and a control as a task has it.
private struct Scene {
    static let checkpoint = "df2redis:checkpoint:test"

    let cluster: RedisCluster
    let registry = TaskRegistry(checkpoint: checkpoint)
    let owner = OwnershipRecord(checkpoint: checkpoint, text: "1 host 2 machine 3", isInCluster: true)

    init(masters: Int = 3, replicas: Int = 0, _ arguments: [String] = []) throws {
        cluster = try RedisCluster(masters: masters, replicas: replicas, arguments)
    }

    func settings(user: String? = nil, password: String? = nil, owner: OwnershipRecord? = nil) -> TargetSettings {
        let seed = Endpoint(host: "127.0.0.1", port: cluster.nodes[0].port)
        var settings = TargetSettings(endpoint: seed, user: user, password: password, clientName: "df2redis:test")
        settings.cluster = ClusterAddresses(seeds: [seed])
        settings.owner = owner
        return settings
    }

    func control(owner: OwnershipRecord? = nil) -> TargetControl {
        TargetControl(connector: TargetConnector(settings: settings(owner: owner)))
    }

    /// Writes keys to every part of the cluster, not by the control.
    @discardableResult
    func fill(_ count: Int = 3000) throws -> Set<String> {
        let view = try cluster.view()
        let names = (0..<count).map { "key:\($0)" }
        for (id, keys) in Dictionary(grouping: names, by: { view.owner(of: ClusterSlot.of(Array($0.utf8))) ?? "" }) {
            let client = try #require(cluster.node(id)).client()
            _ = try client.pipeline(keys.map { key in ["SET", key, "v"].map { Array($0.utf8) } })
        }
        return Set(names)
    }

    func keyCount() throws -> Int { try ClusterReader(cluster).keyCount() }

    func flush(_ command: GlobalCommand, fields: [(field: String, value: String)]) -> Flush {
        Flush(command, task: "test", checkpointKey: Self.checkpoint, fields: fields, registry: registry)
    }
}

extension RunAlone {
    @Suite struct `The control of a cluster` {}
}

extension RunAlone.`The control of a cluster` {
    @Test func `connects by the nodes that the task knows if its seed is gone`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        var settings = scene.settings()
        settings.clusterNodes = ClusterNodes()
        let first = try #require(TargetConnector(settings: settings).cluster)
        let nodes = try await first.current().topology.nodes.count
        scene.cluster.nodes[0].server.kill()
        let next = try #require(TargetConnector(settings: settings).cluster)
        #expect(try await next.current().topology.nodes.count == nodes)
        settings.clusterNodes = nil
        let stranger = try #require(TargetConnector(settings: settings).cluster)
        await #expect(throws: TargetError.self) { try await stranger.current() }
    }

    @Test func `learns limits and rights that hold for all masters, and refuses a target of the other kind`()
        async throws
    {
        let scene = try Scene(["--maxmemory", "1gb", "--maxmemory-policy", "noeviction"])
        defer { scene.cluster.stop() }
        try scene.cluster.nodes[1].client().command("CONFIG", "SET", "proto-max-bulk-len", "2mb")
        let control = scene.control()
        let profile = try await control.profile()
        #expect(profile.masterCount == 3)
        #expect(profile.limits.argumentBytes == 2 << 20)
        #expect(profile.runID.hasPrefix("3-"))
        #expect("\(profile)".hasSuffix(", a cluster of 3 masters"))
        #expect(try await control.databaseCount() == 1)
        var rights = try await control.rights(ownKey: scene.owner.key)
        #expect(rights.losses == [] && rights.canCrossSlots)
        // One node is enough.
        try scene.cluster.nodes[2].client().command("ACL", "SETUSER", "default", "-restore", "-dump")
        rights = try await control.rights(ownKey: scene.owner.key)
        #expect(!rights.canCrossSlots)
        #expect(rights.losses.last?.hasPrefix("the target does not allow DUMP, RESTORE to this user: ") == true)
        #expect(rights.losses.last?.hasSuffix("it ends the task (+dump +restore)") == true, "\(rights.losses)")
        await control.close()

        var standalone = scene.settings()
        standalone.cluster = nil
        let mistaken = TargetControl(connector: TargetConnector(settings: standalone))
        let error = await #expect(throws: TargetError.self) { try await mistaken.profile() }
        #expect(error?.code == .unsuitable)
        #expect(error?.message.contains("set target.type: cluster") == true)

        let redis = try RedisServer()
        defer { redis.stop() }
        let endpoint = Endpoint(host: "127.0.0.1", port: redis.port)
        var other = TargetSettings(endpoint: endpoint, clientName: "df2redis:test")
        other.cluster = ClusterAddresses(seeds: [endpoint])
        let control2 = TargetControl(connector: TargetConnector(settings: other))
        let error2 = await #expect(throws: TargetError.self) { try await control2.profile() }
        #expect(error2?.code == .unsuitable)
        #expect(error2?.message.contains("set target.type: standalone") == true)
    }

    @Test func `connects by a seed that is a replica while another seed does not answer`() async throws {
        let scene = try Scene(masters: 1, replicas: 1)
        defer { scene.cluster.stop() }
        let replica = try #require(try scene.cluster.replicas(of: scene.cluster.masters()[0]).first)
        var settings = scene.settings()
        settings.cluster?.seeds = [
            Endpoint(host: "127.0.0.1", port: try freePort()), Endpoint(host: "127.0.0.1", port: replica.port),
        ]
        let control = TargetControl(connector: TargetConnector(settings: settings))
        try await control.update(Scene.checkpoint, set: ["a": "1"], remove: [])
        #expect(try await control.profile().masterCount == 1)
        #expect(try await control.hash(Scene.checkpoint) == ["a": "1"])
        await control.close()
    }

    @Test func `reports slots that no node serves, and a cluster that has failed`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        for node in scene.cluster.nodes {
            try node.client().command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        }
        try scene.cluster.masters()[0].client().command("CLUSTER", "DELSLOTS", "17", "18")
        let control = scene.control()
        let error = await #expect(throws: TargetError.self) { try await control.profile() }
        #expect(error?.code == .notReady)
        #expect(error?.message.hasPrefix("2 slots of the target's cluster are served by no node, slot 17") == true)
        #expect(error?.message.contains("--cluster fix") == true)
        try scene.cluster.masters()[0].client().command("CLUSTER", "ADDSLOTS", "17", "18")

        for node in scene.cluster.nodes {
            try node.client().command("CONFIG", "SET", "cluster-require-full-coverage", "yes")
        }
        scene.cluster.nodes[2].server.kill()
        try wait(until: "the cluster has failed") {
            try scene.cluster.nodes[0].client().clusterState() == "fail"
        }
        await #expect(throws: TargetError.self) { try await control.profile() }
        await control.close()
    }

    @Test func `keeps its own keys at the nodes of their slots, also while slots move`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        let control = scene.control()
        let names = (0..<40).map { "df2redis:checkpoint:\($0)" }
        for name in names { try await control.update(name, set: ["a": name, "b": "2"], remove: []) }
        let masters = try scene.cluster.masters()
        // The control's topology is outdated from here on.
        try scene.cluster.moveSlots(0..<600, from: masters[0], to: masters[1])
        let slots = Set(names.map { ClusterSlot.of(Array($0.utf8)) }).filter { $0 >= 10_923 }
        for slot in slots { try scene.cluster.beginMoving(slot, from: masters[2], to: masters[0]) }
        for name in names {
            try await control.update(name, set: ["c": "3"], remove: ["b"])
            #expect(try await control.hash(name) == ["a": name, "c": "3"])
        }
        // A missing key belongs to the destination of its slot.
        let new = try #require(slots.first.map { SlotTag.key("df2redis:new", in: KeySlot(UInt16($0))) })
        let newName = String(decoding: new, as: UTF8.self)
        try await control.setIfMissing(newName, field: "x", "1")
        #expect(try await control.hash(newName) == ["x": "1"])
        #expect(try masters[0].client().command("CLUSTER", "COUNTKEYSINSLOT", "\(KeySlot(of: new).number)").int == 1)
        #expect(try await control.exist(names + [newName, "df2redis:none"]) == 41)

        let (isTaken, found) = try await control.exchange(scene.owner.key, with: scene.owner) { $0 == nil }
        #expect(isTaken && found.text == nil)
        let rival = OwnershipRecord(checkpoint: Scene.checkpoint, text: "9 other 9 9 9", isInCluster: true)
        #expect(try await control.exchange(rival.key, with: rival) { _ in false }.found.text == scene.owner.text)
        try await control.register([0], in: scene.registry)
        #expect(try await control.others(in: scene.registry).isEmpty)
        await control.close()
        #expect(ClusterSlot.of(Array(scene.owner.key.utf8)) == ClusterSlot.of(Array(Scene.checkpoint.utf8)))
    }

    @Test func `follows a failover`() async throws {
        let scene = try Scene(replicas: 1)
        defer { scene.cluster.stop() }
        let control = scene.control()
        try await control.update(Scene.checkpoint, set: ["a": "1"], remove: [])
        let master = try scene.cluster.master(of: Scene.checkpoint)
        try wait(until: "the replica has it") {
            try scene.cluster.replicas(of: master)[0].client().info("keyspace", "db0") != nil
        }
        master.server.kill()
        try scene.cluster.waitForSuccessor(of: master)
        try await wait(until: "the control has found the new master") {
            (try? await control.hash(Scene.checkpoint)) == ["a": "1"]
        }
        await control.close()
    }

    @Test func `finds every key of all masters even if slots move meanwhile`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        let names = try scene.fill(9000)
        let control = scene.control()
        let masters = try scene.cluster.masters()
        var found: Set<String> = []
        var pages = 0
        var cursor = "0"
        repeat {
            let page = try await control.scan(database: 0, cursor: cursor)
            cursor = page.cursor
            found.formUnion(page.keys.map { String(decoding: $0, as: UTF8.self) })
            pages += 1
            // From the master that is scanned last to one that has been scanned.
            let last = RedisCluster.slotCount - 1
            if pages == 6 { try scene.cluster.moveSlots((last - 200)...last, from: masters[2], to: masters[0]) }
            // And the keys of a slot that stays open.
            if pages == 6 {
                let slot = ClusterSlot.of(Array("key:8".utf8))
                let owner = try scene.cluster.master(of: "key:8")
                let destination = masters.first { $0 !== owner } ?? masters[0]
                try scene.cluster.beginMoving(slot, from: owner, to: destination)
                try owner.client().command(
                    "MIGRATE", "127.0.0.1", "\(destination.server.port)", "key:8", "0", "5000")
            }
        } while cursor != "0"
        #expect(found == names)
        #expect(try await control.keyCount(database: 0, excluding: ReservedKeys(checkpoint: Scene.checkpoint)) == 9000)
        #expect(try await control.databasesWithKeys() == [0])
        #expect(try await control.figures().keys == 9000)
        #expect(try await control.keyspaceFigures().keys == [0: 9000])

        try await control.unlink(names.map { Array($0.utf8) } + [Array("none".utf8)], database: 0)
        #expect(try scene.keyCount() == 0)
        #expect(try await control.isEmpty(excluding: ReservedKeys(checkpoint: Scene.checkpoint)))
        await control.close()
    }

    @Test func `sets the deadlines of keys in many slots`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        let names = try scene.fill(300)
        let clients = try scene.cluster.masters().map { try $0.client() }
        let base: Int64 = 2_019_686_400_000
        for name in names { try scene.cluster.command(["PEXPIREAT", name, "\(base + 500)"], key: name) }
        let control = scene.control()
        try await control.setDeadlines(
            names.map { (Array($0.utf8), base) }, database: 0, margin: 0, margins: [0, 500])
        await control.close()
        let reader = try ClusterReader(scene.cluster)
        let entries = try reader.read(names.map { Array($0.utf8) })
        #expect(entries.allSatisfy { $0?.expireAtMilliseconds == Int(base) })
        #expect(clients.count == 3)
    }

    @Test func `notices a right that a single node does not give`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        for (index, node) in scene.cluster.nodes.enumerated() {
            let client = try node.client()
            try client.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all")
            if index == 1 { try client.command("ACL", "SETUSER", "app", "-flushall", "-restore") }
            if index == 2 { try client.command("ACL", "SETUSER", "app", "resetkeys", "~df2redis:*", "~key*") }
        }
        let settings = scene.settings(user: "app", password: "secret")
        let control = TargetControl(connector: TargetConnector(settings: settings))
        let rights = try await control.rights(ownKey: scene.owner.key)
        await control.close()
        #expect(rights.missing == ["FLUSHALL", "RESTORE"])
        #expect(rights.lacksOwnKeys, "names with the tag of a slot are its own too")
    }

    @Test func `ends its task's connections on every node`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        let strangers = try scene.cluster.nodes.map { try $0.client() }
        for client in strangers { try client.command("CLIENT", "SETNAME", "df2redis:test:flow-0") }
        let control = scene.control()
        #expect(try await control.hasOtherConnections() == true)
        #expect(try await control.evictPredecessors())
        #expect(try await control.hasOtherConnections() == false)
        for client in strangers { #expect(throws: LabError.self) { try client.command("PING") } }
        await control.close()
    }
}

extension RunAlone {
    @Suite struct `A flush of a cluster` {}
}

extension RunAlone.`A flush of a cluster` {
    private var fields: [(field: String, value: String)] { [("flow:0", "stable x 1 9"), ("databases", "0")] }

    private func remaining(_ scene: Scene) throws -> Set<String> {
        var found: Set<String> = []
        try ClusterReader(scene.cluster).scan { found.formUnion($0.map { String(decoding: $0, as: UTF8.self) }) }
        return found
    }

    @Test func `empties every master, and leaves the new checkpoint, the owner and the registry`()
        async throws
    {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        try scene.fill()
        let control = scene.control(owner: scene.owner)
        _ = try await control.exchange(scene.owner.key, with: scene.owner) { _ in true }
        try await control.register([0], in: scene.registry)
        try await control.update(Scene.checkpoint, set: ["flow:0": "stable x 1 5", "old": "1"], remove: [])
        #expect(try await control.run(scene.flush(.flushAll, fields: fields)).left == [])
        #expect(try remaining(scene) == [Scene.checkpoint, scene.owner.key, TaskRegistry.key])
        #expect(try await control.hash(Scene.checkpoint) == ["flow:0": "stable x 1 9", "databases": "0"])
        #expect(try await control.hash(TaskRegistry.key) == [Scene.checkpoint: "0"])

        try scene.fill()
        #expect(try await control.emptyAlone(0, scene.flush(.flushDatabase(0), fields: [])))
        #expect(try remaining(scene) == [Scene.checkpoint, scene.owner.key, TaskRegistry.key])
        #expect(try await control.hash(Scene.checkpoint) == ["flow:0": "stable x 1 9", "databases": "0"])
        await control.close()
    }

    @Test func `writes marks at every master in its transaction, but not in a slot that is moving`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        try scene.fill()
        let control = scene.control()
        let masters = try scene.cluster.masters()
        try scene.cluster.beginMoving(0, from: masters[0], to: masters[1])
        var flush = scene.flush(.flushAll, fields: fields)
        let mark = SlotMark(
            replicationID: "x", position: FlowPosition(lsn: 9), stamp: FlowStamp(epoch: 1, number: 2))
        flush.marks = NodeMarks(task: "test", [("0", mark)]) { masters in
            [("nodes:0", masters.map { "\($0.slot)" }.joined(separator: " "))]
        }
        let outcome = try await control.run(flush)
        #expect(outcome.marked.first?.slot == KeySlot(1), "it has neither the registry nor the checkpoint")
        #expect(outcome.marked.map(\.shard.master.id) == masters.map(\.id))
        for (node, place) in zip(masters, outcome.marked) {
            let key = String(decoding: SlotTag.key("df2redis:node:test", in: place.slot), as: UTF8.self)
            #expect(try node.client().command("HGET", key, "0").text == mark.text)
        }
        let noted = try await control.hash(Scene.checkpoint)["nodes:0"]
        #expect(noted == outcome.marked.map { "\($0.slot)" }.joined(separator: " "))
        try scene.cluster.closeOpenSlots()
        await control.close()
    }

    @Test func `is repeated as a whole if a node was down, and the position does not move before`()
        async throws
    {
        let scene = try Scene(["--appendonly", "yes", "--cluster-require-full-coverage", "no"])
        defer { scene.cluster.stop() }
        try scene.fill()
        let control = scene.control()
        try await control.update(Scene.checkpoint, set: ["flow:0": "stable x 1 5"], remove: [])
        let keeper = try scene.cluster.master(of: Scene.checkpoint)
        let other = try #require(try scene.cluster.masters().first { $0 !== keeper })
        other.server.kill()
        await #expect(throws: TargetError.self) { try await control.run(scene.flush(.flushAll, fields: fields)) }
        #expect(try await control.hash(Scene.checkpoint) == ["flow:0": "stable x 1 5"])
        try other.server.restart()
        try scene.cluster.settle()
        try await wait(until: "it is made") {
            (try? await control.run(scene.flush(.flushAll, fields: fields)))?.left == []
        }
        #expect(try remaining(scene) == [Scene.checkpoint, TaskRegistry.key])
        await control.close()
    }

    @Test func `leaves nothing in a slot that is moving`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        try scene.fill()
        let control = scene.control()
        let keeper = try scene.cluster.master(of: Scene.checkpoint)
        let others = try scene.cluster.masters().filter { $0 !== keeper }
        for (from, to) in [(keeper, others[0]), (others[0], others[1]), (others[1], keeper)] {
            let slot = try #require(try scene.cluster.view().nodes.first { $0.id == from.id }?.slots.first?.lowerBound)
            try scene.cluster.beginMoving(slot, from: from, to: to)
        }
        #expect(try await control.run(scene.flush(.flushAll, fields: fields)).left == [])
        try scene.cluster.closeOpenSlots()
        #expect(try remaining(scene) == [Scene.checkpoint, TaskRegistry.key])
        await control.close()
    }

    @Test func `leaves another task's keys alone, and makes a task that starts meanwhile wait`() async throws {
        let scene = try Scene()
        defer { scene.cluster.stop() }
        let names = try scene.fill()
        let control = scene.control()
        try await control.register([0], in: scene.registry)
        let rival = TaskRegistry(checkpoint: "df2redis:checkpoint:rival")
        let other = scene.control()
        try await other.register([0], in: rival)

        var flush = scene.flush(.flushAll, fields: fields)
        flush.databases = [0]
        // Each task's own shadow of elements with TTLs.
        let shadows = try ["test", "rival"].map { task in
            let name = SlotTag.key("df2redis:ttl:\(task):key:7", in: KeySlot(of: "key:7"))
            let shadow = String(decoding: name, as: UTF8.self)
            try scene.cluster.command(["ZADD", shadow, "1", "e"], key: shadow)
            return shadow
        }
        #expect(try await control.run(flush).left == [0], "it cannot be told whose keys they are")
        #expect(try remaining(scene).isSuperset(of: names))
        flush.brought = { keys, _ in keys.filter { $0.last == UInt8(ascii: "7") } }
        #expect(try await control.run(flush).left == [])
        let left = try remaining(scene).filter { $0.hasPrefix("key:") }
        #expect(left == names.filter { !$0.hasSuffix("7") })
        #expect(try remaining(scene).intersection(shadows) == [shadows[1]])
        #expect(try await control.hash(Scene.checkpoint)["flow:0"] == "stable x 1 9")

        // As it is between two steps of a flush.
        let notice = String(
            decoding: SlotTag.key("df2redis:flushing:\(Scene.checkpoint)", in: KeySlot(of: Scene.checkpoint)),
            as: UTF8.self)
        try scene.cluster.command(["SET", notice, "1"], key: notice)
        let error = await #expect(throws: TargetError.self) { try await other.register([0], in: rival) }
        #expect(error?.code == .notReady)
        #expect(error?.message.contains("is emptying the cluster") == true)
        try scene.cluster.command(["DEL", notice], key: notice)
        try await other.register([0], in: rival)
        await other.close()
        await control.close()
    }
}

@Suite struct `Names that are df2redis' own in a cluster` {
    @Test(arguments: [
        ("df2redis:x", true, true), ("{0a}df2redis:mark:t", false, true), ("{abcd}df2redis:", false, true),
        ("{abcde}df2redis:mark", false, false), ("{}df2redis:x", false, true), ("{0a}df2redis", false, false),
        ("{0a", false, false), ("{", false, false), ("", false, false), ("x{0a}df2redis:mark", false, false),
        ("ops:t", true, true), ("ops:t:owner", true, false),
    ]) func `may begin with the tag of a slot`(_ name: String, _ alone: Bool, _ inCluster: Bool) {
        #expect(ReservedKeys(checkpoint: "ops:t").contains(Array(name.utf8)) == alone)
        #expect(ReservedKeys(checkpoint: "ops:t", isInCluster: true).contains(Array(name.utf8)) == inCluster)
    }
}
