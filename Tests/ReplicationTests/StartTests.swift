import Base
import Dragonfly
import DragonflySimulator
import Lab
import Link
import Redis
import Testing
import Wire

@testable import Replication

extension RunAlone {
    /// How often a session waits for its target's answers until data flow: on each connection as often as a request follows a
    /// reply there. A start at a distant target must not become slower unnoticed.
    @Suite struct `A start in this process` {}
}

extension RunAlone.`A start in this process` {
    /// A target a few milliseconds away, so that what is sent at once is seen at once.
    private final class DistantScene {
        let scene: SessionScene
        let trips: RoundTripCounter
        private let proxy: TCPProxy

        init(keys: Int = 100) throws {
            let (scene, trips) = (try SessionScene(keys: keys), RoundTripCounter())
            (self.scene, self.trips) = (scene, trips)
            proxy = try TCPProxy(to: scene.redis.port, delay: .milliseconds(5), onTraffic: { trips.note($0) })
        }

        deinit { proxy.stop() }

        func task() -> TaskContext {
            scene.task { [port = proxy.port] in $0.target.endpoint = Endpoint(host: "127.0.0.1", port: port) }
        }

        /// Runs a session until it is stable, and leaves.
        ///
        /// - Returns: the round trips of each role until the first flow sent data, or until the session was stable.
        func run() async throws -> [String: Int] {
            trips.begin()
            let task = task()
            let session = await ReplicationSession(task, history: SessionHistory())
            async let end = session.run()
            try await eventually("it follows") { await session.outcome.stableTime != nil }
            let counts = trips.counts
            await session.requestLeave()
            #expect(try await end == .left)
            await task.lease.release()
            return counts
        }
    }

    @Test func `waits for the target six times before a full sync, the last time beside the snapshot`() async throws {
        let scene = try DistantScene()
        let counts = try await scene.run()
        // 1 owner, rights; 2 rights; 3, 4 owner; 5 control, flows; 6 control, when the source's first bytes are here.
        #expect(counts == ["owner": 3, "rights": 2, "control": 2, "flow-0": 1, "flow-1": 1])
        #expect(try scene.scene.redis.client().command("DBSIZE").int ?? 0 > 100)
        try await scene.scene.expectLeft()
    }

    @Test func `waits for the target six times before it resumes`() async throws {
        let scene = try DistantScene()
        _ = try await scene.run()
        let counts = try await scene.run()
        #expect(scene.scene.master.fullSyncs == 1)
        // 1 owner, rights; 2 rights; 3, 4 owner; 5 control; 6 flows.
        #expect(counts == ["owner": 3, "rights": 2, "control": 1, "flow-0": 1, "flow-1": 1])
        try await scene.scene.expectLeft()
    }

    @Test func `begins nothing at the source if the target accepts no more connections`() async throws {
        let scene = try SessionScene(keys: 20_000)
        let port = scene.redis.port
        let task = scene.task()
        let session = await ReplicationSession(task, history: SessionHistory())
        scene.notices.react { status in
            // The claim's connections are there by then, the flows' are not.
            guard status.detail == OpeningStep.buildFlows.place else { return }
            _ = try? RESPClient(port: port, timeout: .seconds(30)).command("CONFIG", "SET", "maxclients", "1")
        }
        let error = try await SessionScene.failure(of: session)
        #expect(error.isTransient)
        #expect(error.phase == .opening(.buildFlows))
        #expect(await !session.outcome.hasBegun)
        #expect(scene.master.fullSyncs == 0)
        await task.lease.release()
        try await scene.expectLeft()
    }
}

/// Counts how often requests follow a reply, on each connection to a server.
private final class RoundTripCounter: Sendable {
    private struct State {
        var roles: [Int: String] = [:]
        /// Connections whose last traffic was a request.
        var asking: Set<Int> = []
        var counts: [String: Int] = [:]
        var haveDataBegun = false
    }

    private let state = Lock(State())

    /// Until the first data.
    var counts: [String: Int] { state.withLock { $0.counts } }

    func begin() { state.withLock { $0 = State() } }

    func note(_ traffic: TCPProxy.Traffic) {
        state.withLock { state in
            let connection = traffic.connection
            guard traffic.isRequest else {
                state.asking.remove(connection)
                return
            }
            let text = String(decoding: traffic.bytes, as: UTF8.self)
            let words = text.split(separator: "\r\n")
            if let name = words.first(where: { $0.hasPrefix("df2redis:scene:") }), state.roles[connection] == nil {
                state.roles[connection] = String(name.dropFirst("df2redis:scene:".count))
            }
            let role = state.roles[connection] ?? "?"
            if role.hasPrefix("flow-"), words.count > 2, words[2] == "MULTI" { state.haveDataBegun = true }
            guard state.asking.insert(connection).inserted, !state.haveDataBegun else { return }
            state.counts[role, default: 0] += 1
        }
    }
}
