import DragonflySimulator
import Foundation
import Lab
import Testing

/// A target so far away that a full sync has many batches in flight.
@Suite(.serialized) struct `A target that is far away` {
    private final class Scene: TaskScene<RedisServer> {
        init(keys: Int) throws {
            let redis = try RedisServer(["--maxmemory-policy", "noeviction"])
            try super.init(
                from: startedMaster(), into: redis, through: TCPProxy(to: redis.port, delay: .milliseconds(10)),
                RedisScene.retryingSoon)
            let value = String(repeating: "v", count: 400)
            for number in 0..<keys { master.execute("SET key:\(number) \(number):\(value)") }
            for number in 0..<200 { master.execute("RPUSH list:\(number) a b c") }
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
    }

    @Test func `has the newest data, applied once, despite broken connections and OOM during a full sync`()
        throws
    {
        let scene = try Scene(keys: 40_000)
        let proxy = try #require(scene.proxy)
        proxy.breakConnections(carrying: 1_500_000, times: 5)
        try scene.start()
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
            // The target is out of memory half of the time.
            isFull.toggle()
            try client.command("CONFIG", "SET", "maxmemory", isFull && round < 60 ? "1" : "0")
            blockThread(for: .milliseconds(20))
        }
        try client.command("CONFIG", "SET", "maxmemory", "0")
        scene.change(round + 1)
        try scene.waitUntilEqual()
        #expect(proxy.breaksLeft == 0)
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.daemon.deadLetters == [])
    }
}
