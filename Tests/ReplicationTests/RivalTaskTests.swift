import Dragonfly
import Lab
import Link
import Logging
import Redis
import Testing
import Wire

@testable import Replication

/// Tasks of different names with one target, up to the step that ensures that only one of them follows a source.
private final class RivalScene {
    static let source = String(repeating: "a", count: 40)

    private let target: TargetSettings
    private let serverOf: (String) throws -> RESPClient
    private let stop: () -> Void
    private let isInCluster: Bool

    init(_ redis: RedisServer) {
        target = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:test")
        serverOf = { _ in try redis.client() }
        (stop, isInCluster) = ({ redis.stop() }, false)
    }

    init(_ cluster: RedisCluster) {
        let seed = Endpoint(host: "127.0.0.1", port: cluster.nodes[0].port)
        var settings = TargetSettings(endpoint: seed, clientName: "df2redis:test")
        settings.cluster = ClusterAddresses(seeds: [seed])
        target = settings
        serverOf = { key in try cluster.master(of: key).client() }
        (stop, isInCluster) = ({ cluster.stop() }, true)
    }

    deinit { stop() }

    /// One process of a task; its record lasts, however long this machine takes.
    struct Contender: Sendable {
        let checkpoint: String
        let instance: String
        let registry: TaskRegistry
        let control: TargetControl

        /// - Returns: why it may not follow the source; `nil` if it may.
        func follow(
            _ source: String = RivalScene.source, filling scope: DatabaseScope = .all(except: [])
        ) async -> TargetError.Code? {
            let claim = SourceClaim(replicationID: source, instance: Substring(instance), scope: scope)
            do throws(TargetError) {
                try await RivalTasks(registry: registry, control: control).requireNone(rivaling: claim)
                return nil
            } catch { return error.code }
        }
    }

    /// A process that has made the task its own.
    func begin(_ task: String, _ instance: String) async throws -> Contender {
        let checkpoint = CheckpointKey(task: task).name
        let contender = Contender(
            checkpoint: checkpoint, instance: instance, registry: TaskRegistry(checkpoint: checkpoint),
            control: TargetControl(connector: TargetConnector(settings: target)))
        try command("SET", recordKey(checkpoint), "\(instance) db7.example 4711 1-2 3")
        try await contender.control.renew(contender.registry)
        _ = try await contender.control.others(in: contender.registry)
        return contender
    }

    func end(_ contender: Contender) throws { try command("DEL", recordKey(contender.checkpoint)) }

    func recordKey(_ checkpoint: String) -> String {
        OwnershipRecord.key(checkpoint: checkpoint, isInCluster: isInCluster)
    }

    @discardableResult
    func command(_ name: String, _ key: String, _ words: String...) throws -> RESPValue {
        try serverOf(key).command([name, key] + words)
    }

    func line(_ contender: Contender) throws -> String? {
        try command("HGET", TaskRegistry.key, contender.checkpoint).text
    }

    func expectOne(_ round: Int = 0) async throws {
        let contenders = [try await begin("a", "a\(round)"), try await begin("b", "b\(round)")]
        // Both ask at the same time, before the other one has written anything else.
        async let one = contenders[0].follow()
        async let other = contenders[1].follow()
        let ends = await [one, other]
        #expect(ends.filter { $0 == nil }.count == 1, "\(ends)")
        #expect(ends.contains(.taskTaken))
        let (winner, loser) = ends[0] == nil ? (contenders[0], contenders[1]) : (contenders[1], contenders[0])
        #expect(try line(loser) == "follows:none")
        #expect(await winner.follow() == nil, "its next session")
        #expect(await loser.follow() == .taskTaken)
        try end(winner)
        #expect(await loser.follow() == nil, "the other one has ended")
        #expect(await winner.follow() == .taskTaken)
        for contender in contenders {
            await contender.control.close()
            try end(contender)
        }
    }

    func expectAlone() async throws {
        let killed = try await begin("a", "2a")
        #expect(await killed.follow() == nil)
        // Its successor, on this host or another.
        let next = try await begin("a", "3a")
        #expect(await next.follow() == nil)
        try end(next)
        let renamed = try await begin("b", "2b")
        #expect(await renamed.follow() == nil, "the task has another name now")
        // A new process that has not asked yet: what its predecessor has left does not count.
        let waiting = try await begin("b", "3b")
        let third = try await begin("c", "2c")
        #expect(await third.follow() == nil)
        #expect(await waiting.follow() == .taskTaken)
        for contender in [killed, next, renamed, waiting, third] { await contender.control.close() }
    }
}

extension RunAlone {
    @Suite struct `Two tasks of one source, in this process` {}
}

extension RunAlone.`Two tasks of one source, in this process` {
    @Test func `cannot both follow it, however close to each other they begin`() async throws {
        let scene = RivalScene(try RedisServer())
        for round in 0..<20 { try await scene.expectOne(round) }
    }

    @Test func `are allowed if one has ended, was killed or was renamed`() async throws {
        try await RivalScene(try RedisServer()).expectAlone()
    }

    @Test func `are recognized by the positions if the other one is of an earlier version`() async throws {
        let scene = RivalScene(try RedisServer())
        let old = try await scene.begin("old", "1")
        try scene.command("HSET", old.checkpoint, "flow:0", "stable \(RivalScene.source) 1 7")
        let next = try await scene.begin("a", "2")
        #expect(await next.follow() == .taskTaken)
        #expect(await next.follow(String(repeating: "b", count: 40)) == nil)
        try scene.end(old)
        #expect(await next.follow() == nil)
        for contender in [old, next] { await contender.control.close() }
    }

    @Test func `are refused after a cut-over of the other one, until it is undone`() async throws {
        let scene = RivalScene(try RedisServer())
        let first = try await scene.begin("a", "1")
        #expect(await first.follow(filling: .only([0])) == nil)
        try scene.command("HSET", first.checkpoint, CheckpointKey.cutOverField, "1796000000")
        try scene.end(first)
        let next = try await scene.begin("b", "2")
        #expect(await next.follow() == .cutOver)
        #expect(try scene.line(next) == "follows:none")
        #expect(await next.follow(filling: .only([3])) == nil, "no client writes there because of the cut-over")
        #expect(await next.follow(String(repeating: "b", count: 40)) == nil, "another source")
        try scene.command("HDEL", first.checkpoint, CheckpointKey.cutOverField)
        #expect(await next.follow() == nil)
        for contender in [first, next] { await contender.control.close() }
    }

    @Test func `may each fill databases of their own, as long as these do not overlap`() async throws {
        let scene = RivalScene(try RedisServer())
        let (first, second) = (try await scene.begin("a", "1"), try await scene.begin("b", "2"))
        #expect(await first.follow(filling: .only([0])) == nil)
        #expect(await second.follow(filling: .only([3])) == nil)
        #expect(await first.follow(filling: .only([0, 5])) == nil)
        #expect(await second.follow(filling: .only([3, 5])) == .taskTaken)
        #expect(try scene.line(second)?.hasSuffix(":3") == true, "it fills this one until it has ended")
        for contender in [first, second] { await contender.control.close() }
    }

    @Test func `do not conflict if each follows a source of its own`() async throws {
        let scene = RivalScene(try RedisServer())
        let (first, second) = (try await scene.begin("a", "1"), try await scene.begin("b", "2"))
        #expect(await first.follow() == nil)
        #expect(await second.follow(String(repeating: "b", count: 40)) == nil)
        for contender in [first, second] { await contender.control.close() }
    }

    @Test func `are noticed by an owner that was taken for dead`() async throws {
        let scene = try SessionScene()
        let (task, rivals) = (scene.task(), RivalScene(scene.redis))
        _ = try await task.lease.claim()
        try await task.lease.claimSource(RivalScene.source, filling: .only([0]))
        let next = try await rivals.begin("other", "1")
        // The record is renewed every few seconds: delete it, as if it had expired just before the other task looked.
        try await eventually("the other one is let in") {
            try rivals.command("DEL", rivals.recordKey(task.checkpointKey.name))
            return await next.follow() == nil
        }
        try await eventually("it has noticed") { task.lease.loss?.code == .taskTaken }
        await task.lease.release()
        await next.control.close()
    }
}

extension RunAlone {
    @Suite struct `Two tasks of one source into a cluster, in this process` {}
}

extension RunAlone.`Two tasks of one source into a cluster, in this process` {
    @Test func `cannot both follow it, and are allowed if one has ended`() async throws {
        let scene = RivalScene(try RedisCluster(replicas: 0))
        try await scene.expectOne()
        try await scene.expectAlone()
    }
}
