import Foundation
import Lab
import Link
import Redis
import Testing
import Wire

@testable import Replication

extension RunAlone {
    /// The target of one flow over a real cluster of three masters; a standalone server shows the expected data.
    @Suite struct `A flow into a cluster` {
        private let cluster: RedisCluster
        private let expected: RedisServer
        private let model: RESPClient

        init() throws {
            cluster = try RedisCluster(replicas: 0)
            expected = try RedisServer()
            model = try expected.client()
        }
    }
}

extension RunAlone.`A flow into a cluster` {
    private func end() {
        cluster.stop()
        expected.stop()
    }

    private func scene() throws -> ClusterScene { try ClusterScene(cluster.nodes.map(\.port)) }

    private func expectEqual(at location: SourceLocation = #_sourceLocation) throws {
        try expectEqual(cluster, at: location)
    }

    private func expectEqual(_ cluster: RedisCluster, at location: SourceLocation = #_sourceLocation) throws {
        let comparison = try ServerComparison(source: model, target: cluster)
        let isEqual = comparison.isEqual
        #expect(isEqual, "\(Difference.report(comparison.differences))", sourceLocation: location)
    }

    private func tell(_ records: [String]) throws {
        for record in records { try model.command(record.split(separator: " ").map(String.init)) }
    }

    private static let counting = (0..<40).flatMap {
        [
            "INCR n:\($0)", "APPEND s:\($0) x", "LPUSH l:\($0) a", "XADD x:\($0) 1-\($0 + 1) f v", "SET p:\($0) 1",
            "DEL p:\($0 / 2)",
        ]
    }

    @Test func `a batch is applied in every slot, and only once if it is repeated after a crash`() async throws {
        defer { end() }
        let scene = try scene()
        #expect(try await scene.open(at: nil).checkpoint == nil)
        #expect(try await scene.deliver(Self.counting, next: 1000) == .applied([]))
        try tell(Self.counting)
        try expectEqual()
        // As if the position of the batch had not been stored before the crash.
        #expect(try await scene.open(at: 1000 - UInt64(Self.counting.count)).checkpoint == "stable id 1 1000")
        #expect(try await scene.deliver(Self.counting, next: 1000, repeating: true) == .applied([]))
        try expectEqual()
        // A session that ends before the stream has come to that position leaves the marks in place.
        _ = try await scene.open(at: 1000 - UInt64(Self.counting.count))
        await scene.retire()
        // Repeat the records in other batches, with one more at the end.
        _ = try await scene.open(at: 1000 - UInt64(Self.counting.count))
        let half = Array(Self.counting.prefix(70))
        _ = try await scene.deliver(half, next: 1000 - UInt64(Self.counting.count - 70), repeating: true)
        let rest = Array(Self.counting.dropFirst(70)) + ["INCR n:1"]
        _ = try await scene.deliver(rest, next: 1001, repeating: true)
        try tell(["INCR n:1"])
        try expectEqual()
        await scene.retire()
        await scene.close()
        let own = try ServerComparison(source: model, target: cluster).ownKeysBesidesNodeMarks
        #expect(own == ["df2redis:checkpoint:test"])
    }

    @Test func `errors are reported with their command's number, and the other commands are applied`() async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        let outcome = try await scene.deliver(["SET a 1", "LPUSH a x", "INCR b", "NOSUCH a", "SET c 1"], next: 10)
        guard case .applied(let found) = outcome else { throw LabError("\(outcome)") }
        #expect(found.map(\.command) == [1, 3])
        try tell(["SET a 1", "INCR b", "SET c 1"])
        try expectEqual()
        await scene.close()
    }

    private func restrict(_ rules: String...) throws {
        for node in cluster.nodes { try node.client().command(["ACL", "SETUSER", "default"] + rules) }
    }

    @Test func `a script that may not be loaded is reported, and the commands around it are applied once`() async throws
    {
        defer { end() }
        let scene = try scene()
        try restrict("-script")
        _ = try await scene.open(at: nil)
        let again = Self.counting.filter { !$0.hasPrefix("XADD") }
        let outcome = try await scene.deliver(Self.counting + ["SCRIPT LOAD return(1)"] + again, next: 1000)
        guard case .applied(let found) = outcome else { throw LabError("\(outcome)") }
        #expect(found.map(\.command) == [Self.counting.count])
        try tell(Self.counting + again)
        try expectEqual()
        await scene.close()
    }

    @Test func `a missing right cuts a batch short, and the rest is applied once when the right is granted`()
        async throws
    {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        try await scene.deliver(["SET from 1"], next: 2)
        try restrict("-rpush")
        // After the command that is refused, one over several slots, and one that leaves its slot's mark.
        let records = Self.counting + ["RPUSH {n:1}l x", "RENAME from to", "INCR n:1"]
        let next = UInt64(2 + records.count)
        guard case .cutShort(let found) = try await scene.deliver(records, next: next) else {
            throw LabError("it is cut short")
        }
        #expect(found.map(\.command) == [Self.counting.count])
        try restrict("+rpush")
        #expect(try await scene.open(at: 2).checkpoint == "stable id 1 2")
        #expect(try await scene.deliver(records, next: next, repeating: true) == .applied([]))
        try tell(["SET from 1"] + records)
        try expectEqual()
        await scene.close()
    }

    private func configure(_ parameter: String, _ value: String) throws {
        for node in cluster.nodes { try node.client().command("CONFIG", "SET", parameter, value) }
    }

    private func connectionsMade() throws -> Int {
        try cluster.nodes.reduce(0) { sum, node in
            let info = ServerInfo(try node.client().command("INFO", "stats").text)
            return sum + (info["total_connections_received"].flatMap { Int($0) } ?? 0)
        }
    }

    @Test func `an argument that breaks every connection ends the session, and lowers the known limit`()
        async throws
    {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        try configure("proto-max-bulk-len", "1mb")
        let big = String(repeating: "x", count: 2 << 20)
        for command in ["SET big \(big)", "APPEND big \(big)"] {
            let before = try connectionsMade()
            let error = await #expect(throws: ReplicationError.self) {
                try await scene.deliver(Self.counting + [command] + Self.counting, next: 1000)
            }
            #expect(error?.code == .targetChanged)
            #expect(error?.message.contains("an argument of 2097152 bytes") == true, "\(String(describing: error))")
            #expect(scene.context.targetLimits.limits.argumentBytes == (2 << 20) - 1)
            #expect(try connectionsMade() - before < 40)
            _ = try await scene.open(at: nil)
        }
        await scene.close()
    }

    @Test func `a node that silently closes every connection is reconnected with growing waits`()
        async throws
    {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        try configure("client-query-buffer-limit", "1mb")
        let records = Self.counting + ["APPEND big \(String(repeating: "x", count: 3 << 20))"]
        async let outcome = scene.deliver(records, next: 1000)
        let before = try connectionsMade()
        try await Task.sleep(for: .seconds(2))
        let made = try connectionsMade() - before
        #expect(made < 100, "600 a second without waits")
        try configure("client-query-buffer-limit", "1gb")
        #expect(try await outcome == .applied([]))
        try tell(records)
        try expectEqual()
        await scene.close()
    }

    @Test func `connections lost in the middle are reopened, and each command is applied once`() async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        var next: UInt64 = 1
        for round in 0..<30 {
            let records = (0..<200).map { "INCR n:\(($0 * 7 + round) % 50)" }
            next += UInt64(records.count)
            let end = next
            async let outcome = scene.deliver(records, next: end)
            for node in cluster.nodes { _ = try? node.client().command("CLIENT", "KILL", "TYPE", "normal") }
            #expect(try await outcome == .applied([]))
            try tell(records)
        }
        try expectEqual()
        await scene.close()
    }

    @Test func `a value too large to buffer is sent while it is being built`() async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        let commands: [(name: StaticString, words: [String])] = [
            ("RPUSH", ["long"]), ("RPUSH", ["long"]), ("SET", ["text"]), ("HSET", ["hash", "f"]),
        ]
        for (name, words) in commands {
            #expect(try await scene.deliverLong(name, words, argumentBytes: 5 << 20) == .applied([]))
            try model.command(["\(name)"] + words + [String(repeating: "x", count: 5 << 20)])
        }
        #expect(try await scene.deliver(["INCR n"], next: 5) == .applied([]))
        try tell(["INCR n"])
        try expectEqual()
        await scene.close()
    }

    @Test func `slots that move during the writes are followed`() async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        let masters = try cluster.masters()
        nonisolated(unsafe) let moving = (cluster, masters[0], masters[2])  // the thread's until it ends
        let failure = Lock<(any Error)?>(nil)
        let hasEnded = Lock(false)
        Thread {
            do {
                for round in 0..<4 {
                    let (from, to) = round % 2 == 0 ? (moving.1, moving.2) : (moving.2, moving.1)
                    try moving.0.moveSlots(0..<60, from: from, to: to)
                }
            } catch { failure.withLock { $0 = error } }
            hasEnded.withLock { $0 = true }
        }.start()
        // Keys in those slots, and others.
        let keys = (0..<4000).map { "k:\($0)" }.filter { KeySlot(of: $0).number < 60 || $0.hasSuffix("00") }
        var next: UInt64 = 1
        while !hasEnded.withLock({ $0 }) {
            let records = keys.map { "INCR \($0)" } + keys.map { "HSET h:{\($0)} f \(next)" }
            next += UInt64(records.count)
            #expect(try await scene.deliver(records, next: next) == .applied([]))
            try tell(records)
        }
        if let error = failure.withLock({ $0 }) { throw error }
        try cluster.settle()
        try expectEqual()
        await scene.close()
    }

    // MARK: A slot that is open between two nodes

    /// The node that serves a key, and another one.
    private func ends(of key: String) throws -> (from: RedisCluster.Node, to: RedisCluster.Node) {
        let from = try cluster.master(of: key)
        return (from, try #require(try cluster.masters().first { $0 !== from }))
    }

    @Test func `a key of a migrating slot is written only to the node that holds it`() async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        let (from, to) = try ends(of: "{t}")
        let slot = Int(KeySlot(of: "{t}").number)
        let rounds = [
            ["SET {t}b 0", "SET {t}d 0"], ["SET {t}a 1", "SET {t}b 2", "HSET {t}c f v", "SET {t}b 3"],
            ["SET {t}a 4", "DEL {t}b", "HDEL {t}c f", "SET {t}d 5", "SET {t}a 6"],
        ]
        for (number, records) in rounds.enumerated() {
            let next = UInt64(100 * number + records.count + 1)
            #expect(try await scene.deliver(records, next: next) == .applied([]))
            try tell(records)
            if number == 0 { try cluster.beginMoving(slot, from: from, to: to) }
        }
        let keys = try to.client().command("CLUSTER", "GETKEYSINSLOT", "\(slot)", "100").array?.compactMap(\.text)
        #expect(keys?.filter { !$0.contains("df2redis") } == ["{t}a"])
        try cluster.moveSlots([slot], from: from, to: to)
        try cluster.settle()
        try expectEqual()
        await scene.close()
    }

    @Test func `no key is on two nodes while its slot is moved under load`() async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        let ends = try ends(of: "{t}")
        nonisolated(unsafe) let moving = (cluster, ends.from, ends.to)  // the thread's until it ends
        let failure = Lock<(any Error)?>(nil)
        let hasEnded = Lock(false)
        Thread {
            // A key on both nodes makes the move fail with BUSYKEY.
            do {
                for round in 0..<40 {
                    let (from, to) = round % 2 == 0 ? (moving.1, moving.2) : (moving.2, moving.1)
                    try moving.0.beginMoving(Int(KeySlot(of: "{t}").number), from: from, to: to)
                    usleep(20_000)
                    try moving.0.moveSlots([Int(KeySlot(of: "{t}").number)], from: from, to: to)
                }
            } catch { failure.withLock { $0 = error } }
            hasEnded.withLock { $0 = true }
        }.start()
        var next: UInt64 = 1
        var numbers = SystemRandomNumberGenerator()
        while !hasEnded.withLock({ $0 }) {
            let records = (0..<40).map { _ in
                let key = Int.random(in: 0..<300, using: &numbers)
                return Bool.random() ? "SET {t}\(key) \(next)" : "DEL {t}\(key)"
            }
            next += UInt64(records.count)
            #expect(try await scene.deliver(records, next: next) == .applied([]))
            try tell(records)
        }
        if let error = failure.withLock({ $0 }) { throw error }
        try cluster.settle()
        try expectEqual()
        await scene.close()
    }

    /// Commands for every node, none of them for the lowest slots.
    private static let everywhere = (0..<60).map { "INCR n:\($0)" } + (0..<60).map { "SET p:\($0) \($0)" }

    @Test(arguments: [false, true])
    func `a migrating slot that holds a node's mark does not delay the flow`(isLost: Bool) async throws {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        #expect(try await scene.deliver(Self.everywhere, next: 1000) == .applied([]))
        try tell(Self.everywhere)
        // The lowest slot of a node has its mark.
        let from = try cluster.masters()[0]
        let to = try #require(try cluster.masters().last)
        let slot = try #require(try cluster.view().masters[0].slots.map(\.lowerBound).min())
        try cluster.beginMoving(slot, from: from, to: to)
        try cluster.moveKeys(of: slot, from: from, to: to)
        let moved = try to.client().command("CLUSTER", "COUNTKEYSINSLOT", "\(slot)").int
        #expect(moved == 1, "the mark is there")
        if isLost { for node in cluster.nodes { _ = try? node.client().command("CLIENT", "KILL", "TYPE", "normal") } }
        let before = try cluster.acceptedConnections()
        for next in [2000, 3000] {
            #expect(try await scene.deliver(Self.everywhere, next: UInt64(next)) == .applied([]))
            try tell(Self.everywhere)
        }
        #expect(try cluster.acceptedConnections() - before < 60)
        // The next process finds what it expects.
        _ = try await scene.open(at: 3000)
        #expect(try await scene.deliver(Self.everywhere, next: 4000) == .applied([]))
        try tell(Self.everywhere)
        try cluster.moveSlots([slot], from: from, to: to)
        try cluster.settle()
        #expect(try await scene.deliver(Self.everywhere, next: 5000) == .applied([]))
        try tell(Self.everywhere)
        try expectEqual()
        await scene.retire()
        await scene.close()
        let own = try ServerComparison(source: model, target: cluster).ownKeysBesidesNodeMarks
        #expect(own == ["df2redis:checkpoint:test"])
    }

    @Test func `a full sync can begin while a slot migrates, and temporary values are removed on either node`()
        async throws
    {
        defer { end() }
        let scene = try scene()
        _ = try await scene.open(at: nil)
        #expect(try await scene.deliver(Self.everywhere, next: 1000) == .applied([]))
        try tell(Self.everywhere)
        let (from, to) = try ends(of: "n:1")
        let slot = KeySlot(of: "n:1")
        let left = SlotTag.key(SlotMark.temporaryKey(task: "test", flow: 0, number: 1), in: slot)
        try cluster.beginMoving(Int(slot.number), from: from, to: to)
        try cluster.moveKeys(of: Int(slot.number), from: from, to: to)
        let client = try to.client()
        try client.command("ASKING")
        _ = try client.send([Array("SET".utf8), left, Array("x".utf8)])
        let began = ContinuousClock.now
        _ = try await scene.open(at: nil)
        #expect(began.duration(to: .now) < .seconds(20))
        try cluster.moveSlots([Int(slot.number)], from: from, to: to)
        try cluster.settle()
        try expectEqual()
        let leftovers = try ServerComparison(source: model, target: cluster).ownKeys
            .filter { String(decoding: $0, as: UTF8.self).contains("df2redis:tmp:") }
        #expect(leftovers.isEmpty)
        await scene.close()
    }

    // MARK: A replica that lacks the last writes takes its master's place

    /// The replica of the master of `key` gets nothing from now on.
    private static func cutReplication(_ cluster: RedisCluster, of key: String) throws -> RedisCluster.Node {
        let master = try cluster.master(of: key)
        // A node may see its replica as away for a moment.
        try wait(until: "the master has its replica") { try !cluster.replicas(of: master).isEmpty }
        let replica = try #require(try cluster.replicas(of: master).first).client()
        try replica.command("CONFIG", "SET", "masterauth", "nobody-asks-for-it")
        try replica.command("CLIENT", "KILL", "TYPE", "master")
        try wait(until: "the replica has lost its master") {
            try replica.info("replication", "master_link_status") == "down"
        }
        return master
    }

    private static func kill(_ master: RedisCluster.Node, of cluster: RedisCluster) throws {
        let successor = try #require(try cluster.replicas(of: master).first)
        master.server.kill()
        try wait(until: "the replica is the master") { try cluster.masters().contains { $0 === successor } }
        try cluster.settle()
    }

    private static func increments(_ round: Int) -> [String] { (0..<100).map { "INCR n:\(($0 + round) % 30)" } }

    @Test(arguments: [false, true])
    func `writes that a promoted replica lacks are requested from the source again`(isAfterCrash: Bool) async throws {
        defer { end() }
        let cluster = try RedisCluster(replicas: 1)
        defer { cluster.stop() }
        let scene = try ClusterScene(cluster.nodes.map(\.port))
        _ = try await scene.open(at: nil)
        for round in 0..<3 { try await scene.deliver(Self.increments(round), next: 101 + 100 * UInt64(round)) }
        // The replicas keep what they have received until now.
        for node in try cluster.masters() { try node.client().command("WAIT", "1", "10000") }
        let master = try Self.cutReplication(cluster, of: "n:1")
        for round in 3..<6 { try await scene.deliver(Self.increments(round), next: 101 + 100 * UInt64(round)) }
        // A running process notices it without a new opening.
        if isAfterCrash { await scene.close() }
        try Self.kill(master, of: cluster)
        var message = ""
        do {
            if isAfterCrash {
                _ = try await scene.open(at: 601)
            } else {
                try await scene.deliver(Self.increments(6), next: 701)
            }
        } catch { message = "\(error)" }
        #expect(message.contains("came back without writes"), "\(message)")
        // The mark that the replica has was written with the third batch, which began here.
        #expect(message.contains("record 201"), "\(message)")
        let found = try await scene.open(at: 201)
        #expect(found.checkpoint == "stable id 1 201")
        for round in 2..<7 {
            try await scene.deliver(Self.increments(round), next: 101 + 100 * UInt64(round), repeating: true)
        }
        try tell((0..<7).flatMap(Self.increments))
        try expectEqual(cluster)
        await scene.close()
    }

    /// - Parameter position: the flow's when it finds the node; another node has made it go back there. `nil`: in a full sync.
    @Test(arguments: [301, nil])
    func `a node's older mark never moves a flow forward, nor out of a full sync`(_ position: UInt64?) async throws {
        defer { end() }
        let cluster = try RedisCluster(replicas: 1)
        defer { cluster.stop() }
        let scene = try ClusterScene(cluster.nodes.map(\.port))
        _ = try await scene.open(at: nil)
        for round in 0..<5 { try await scene.deliver(Self.increments(round), next: 101 + 100 * UInt64(round)) }
        for node in try cluster.masters() { try node.client().command("WAIT", "1", "10000") }
        let master = try Self.cutReplication(cluster, of: "n:1")
        try await scene.deliver(Self.increments(5), next: 601)
        if position == nil {
            _ = try await scene.open(at: nil)
            try await scene.deliver((0..<30).map { "SET n:\($0) brought" }, next: nil)
        } else {
            await scene.close()
        }
        try Self.kill(master, of: cluster)
        var message = ""
        do {
            if let position {
                _ = try await scene.open(at: position)
            } else {
                try await scene.deliver((0..<30).map { "SET m:\($0) brought" }, next: nil)
            }
        } catch { message = "\(error)" }
        #expect(message.contains(position == nil ? "a full sync is needed" : "record 301"), "\(message)")
        let found = try await scene.open(at: position).checkpoint
        #expect(found == (position == nil ? "snapshot id SYNC1 0" : "stable id 1 301"))
        await scene.close()
    }

    @Test func `a full sync follows if the lost writes include a command over several slots`() async throws {
        defer { end() }
        let cluster = try RedisCluster(replicas: 1)
        defer { cluster.stop() }
        let scene = try ClusterScene(cluster.nodes.map(\.port))
        _ = try await scene.open(at: nil)
        try await scene.deliver(["SET n:1 a", "SET foo b", "SET bar c"], next: 10)
        for node in try cluster.masters() { try node.client().command("WAIT", "1", "10000") }
        let master = try Self.cutReplication(cluster, of: "n:1")
        try await scene.deliver(["SET n:1 b", "RENAME foo bar"], next: 12)
        try Self.kill(master, of: cluster)
        let refusal = await #expect(throws: (any Error).self) { try await scene.deliver(["SET n:1 c"], next: 13) }
        // If the cluster could not store that the position is given up, the next session detects the loss again.
        if "\(refusal as Any)".contains("could not be stored") { _ = try? await scene.open(at: 12) }
        let found = try await scene.open(at: nil).checkpoint
        #expect(found == "snapshot id SYNC1 0", "\(refusal as Any)")
        await scene.close()
    }

    // MARK: Commands over several slots

    private static let before = [
        "SADD s1 a b c", "SADD s2 b c d", "SADD s3 x", "ZADD z1 1 a 2 b", "ZADD z2 3 b 4 c", "RPUSH l1 1 2 3",
        "RPUSH l2 9",
        "RPUSH l3 only", "SET str1 hello", "SET str2 world", "SET old v PXAT 4000000000000", "SET bits1 abc",
        "SET bits2 xyz",
        "PFADD h1 a b",
        "PFADD h2 c", "GEOADD g1 13.36 38.11 Palermo 15.08 37.50 Catania", "HSET hash f v", "SET gone 1",
    ]

    static let crossing = [
        "RENAME str1 str9", "RENAME old str2", "RENAMENX s3 s9", "COPY hash hash2", "COPY old copy REPLACE",
        "SMOVE s1 s2 a",
        "SMOVE s3 s2 x", "SMOVE s1 s2 none", "LMOVE l1 l2 LEFT RIGHT", "LMOVE l3 l4 RIGHT LEFT", "RPOPLPUSH l1 l9",
        "BITOP XOR bits9 bits1 bits2", "PFMERGE h1 h2", "SUNIONSTORE s9 s1 s2", "SINTERSTORE s9 s1 s2 nokey",
        "SDIFFSTORE s1 s1 s2", "ZUNIONSTORE z9 2 z1 z2 WEIGHTS 2 3", "ZINTERSTORE z1 2 z1 z2", "ZDIFFSTORE z9 2 z1 z2",
        "ZRANGESTORE z9 z1 0 0", "GEOSEARCHSTORE g9 g1 FROMLONLAT 15 37 BYRADIUS 200 km", "SORT l1 DESC STORE l9",
        "GEORADIUS g1 15 37 200 km STORE g9", "MSET str1 a str2 b str3 c", "MSETNX n1 a n2 b", "DEL s1 z1 l1 gone",
    ]

    @Test(arguments: crossing) func `a command over several slots ends as on one server, wherever it is interrupted`(
        _ command: String
    ) async throws {
        defer { end() }
        let scene = try scene()
        // Before it and after it keys of the same slots change.
        let key = command.split(separator: " ").dropFirst().first.map(String.init) ?? ""
        let records = ["INCR c:{\(key)}", command, "INCR c:{\(key)}", "APPEND t:{\(key)} z"]
        try tell(Self.before)
        try tell(records)
        let start = UInt64(100 + Self.before.count)
        for count in 0..<9 {
            for master in try cluster.masters() { try master.client().command("FLUSHALL") }
            _ = try await scene.open(at: nil)
            _ = try await scene.deliver(Self.before, next: start)
            let isWhole = try await scene.doSome(count, of: records, next: start + 4)
            _ = try await scene.open(at: start)
            #expect(
                try await scene.deliver(records, next: start + 4, repeating: true) == .applied([]),
                "after \(count) steps")
            try expectEqual()
            let leftovers = try ServerComparison(source: model, target: cluster).ownKeys
                .filter { String(decoding: $0, as: UTF8.self).contains("df2redis:tmp:") }
            #expect(leftovers.isEmpty)
            if isWhole { break }
        }
        await scene.close()
    }
}
