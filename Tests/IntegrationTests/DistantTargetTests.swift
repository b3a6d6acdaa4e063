import DragonflySimulator
import Foundation
import Lab
import Testing

/// A target so far away that a full sync has many batches on their way.
@Suite(.serialized) struct `A target that is far away` {
    private final class Scene {
        let master: SimulatedMaster
        let redis: RedisServer
        let proxy: TCPProxy
        let daemon: Daemon

        init(keys: Int, _ prepare: (Scene) throws -> Void = { _ in }) throws {
            master = try startedMaster(shards: 2)
            redis = try RedisServer(["--maxmemory-policy", "noeviction"])
            proxy = try TCPProxy(to: redis.port, delay: .milliseconds(10))
            let value = String(repeating: "v", count: 400)
            for number in 0..<keys { master.execute("SET key:\(number) \(number):\(value)") }
            for number in 0..<200 { master.execute("RPUSH list:\(number) a b c") }
            daemon = try Daemon(
                .replicate,
                .init(
                    source: master.port, target: proxy.port,
                    sections: [
                        "shutdown": ["drainSeconds: 0"], "reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"],
                    ]))
        }

        deinit {
            daemon.process.kill()
            proxy.stop()
            redis.stop()
            master.stop()
        }

        /// Changes of keys that the snapshot has brought, or will.
        func change(_ round: Int) {
            for number in 0..<50 {
                master.execute("SET key:\(number * 97 + round) changed:\(round)")
                master.execute("INCR counter:\(number)")
                master.execute("RPUSH list:\(number) \(round)")
                master.execute("DEL key:\(number * 101 + round)")
            }
        }

        func waitUntilEqual() throws {
            try IntegrationTests.waitUntilEqual(RESPClient(port: master.port), redis.client())
        }
    }

    @Test func `that ends connections in a full sync, and refuses for a while, has everything once, and the newest`()
        throws
    {
        let scene = try Scene(keys: 40_000)
        scene.proxy.breakConnections(carrying: 1_500_000, times: 5)
        let client = try scene.redis.client()
        try scene.daemon.wait(forLine: "full sync begins")
        var round = 0
        var isFull = false
        let deadline = ContinuousClock.now + .seconds(120)
        while !scene.daemon.log.contains("stable: following") {
            guard scene.daemon.process.isRunning, ContinuousClock.now < deadline else {
                throw LabError("no stable stream: \(scene.daemon.process.outputTail(lines: 30))")
            }
            round += 1
            scene.change(round)
            // It is out of memory every other moment.
            isFull.toggle()
            try client.command("CONFIG", "SET", "maxmemory", isFull && round < 60 ? "1" : "0")
            nap(.milliseconds(20))
        }
        try client.command("CONFIG", "SET", "maxmemory", "0")
        scene.change(round + 1)
        try scene.waitUntilEqual()
        #expect(scene.proxy.breaksLeft == 0)
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.daemon.deadLetters == [])
    }
}
