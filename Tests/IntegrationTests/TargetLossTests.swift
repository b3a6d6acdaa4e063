import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A target that goes away, refuses, or comes back as another.
@Suite(.serialized) struct `A target that is lost` {
    /// A live master, a real target that keeps its data, and the daemon between them.
    private final class Scene {
        let master: SimulatedMaster
        let redis: RedisServer
        let client: RESPClient
        let proxy: TCPProxy?
        let configuration: Daemon.Configuration
        private(set) var daemon: Daemon

        init(
            shards: Int = 1, target: [String] = [], throughProxy: Bool = false, sections: [String: [String]] = [:]
        ) throws {
            var options = MasterOptions()
            options.shardCount = shards
            master = try SimulatedMaster(.live(nil), options: options)
            let port = try master.start()
            redis = try RedisServer(
                ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "local"] + target)
            client = try redis.client()
            proxy = throughProxy ? try TCPProxy(to: redis.port) : nil
            let usual = ["shutdown": ["drainSeconds: 0"], "reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"]]
            configuration = .init(
                source: port, target: proxy?.port ?? redis.port,
                sections: usual.merging(sections, uniquingKeysWith: { $0 + $1 }))
            daemon = try Daemon(.replicate, configuration)
            try daemon.wait(forLine: "stable: following")
        }

        deinit {
            daemon.process.kill()
            proxy?.stop()
            redis.resume()
            redis.stop()
            master.stop()
        }

        func startAnother() throws { daemon = try Daemon(.replicate, configuration, folder: daemon.folder) }

        func get(_ key: String) throws -> String? { try redis.client().command("GET", key).text }

        func expectEqual() throws {
            let (source, target) = (try RESPClient(port: master.port), try redis.client())
            try waitUntilEqual { try ServerComparison(source: source, target: target).differences }
        }

        func count(_ text: String) -> Int { daemon.log.components(separatedBy: text).count - 1 }
    }

    @Test func `what a killed daemon has sent to the target is not applied behind the next one's back`() throws {
        let scene = try Scene(throughProxy: true)
        let proxy = try #require(scene.proxy)
        for round in 1...3 {
            proxy.holdBack()
            // On its way to the target, and held up there.
            scene.master.execute("INCR n")
            try wait(until: "the batch has left the daemon") { proxy.heldBytes > 0 }
            scene.daemon.process.kill()
            try scene.startAnother()
            // It begins at the checkpoint as it stands, and sends the record again.
            try wait(until: "the record is applied") { try scene.get("n") == "\(round)" }
            proxy.release()
            scene.master.execute("SET mark \(round)")
            try wait(until: "the next record is applied") { try scene.get("mark") == "\(round)" }
            #expect(try scene.get("n") == "\(round)")
        }
        try scene.expectEqual()
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }
}
