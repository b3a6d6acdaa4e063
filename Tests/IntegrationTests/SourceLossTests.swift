import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A source that goes away, or comes back as another.
@Suite(.serialized) struct `A source that is lost` {
    /// A live master on a port of its own, a real target, and the daemon between them.
    private final class Scene {
        private(set) var master: SimulatedMaster
        let redis: RedisServer
        let configuration: Daemon.Configuration
        private(set) var daemon: Daemon

        init(shards: Int = 2, sections: [String: [String]] = [:]) throws {
            master = try Self.start(shards: shards)
            redis = try RedisServer()
            let usual = ["shutdown": ["drainSeconds: 0"], "reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"]]
            configuration = .init(
                source: master.port, target: redis.port,
                sections: usual.merging(sections, uniquingKeysWith: { $0 + $1 }))
            daemon = try Daemon(.replicate, configuration)
            try daemon.wait(forLine: "stable: following")
        }

        deinit {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }

        private static func start(
            shards: Int, port: UInt16 = 0, replicationID: String? = nil
        ) throws -> SimulatedMaster {
            try startedMaster(shards: shards) {
                $0.port = port
                $0.replicationID = replicationID
                // A miscount shows at once.
                $0.lsnRecordInterval = .zero
            }
        }

        /// Another master on the same port.
        func replaceMaster(shards: Int, replicationID: String? = nil) throws {
            let port = master.port
            master.stop()
            master = try Self.start(shards: shards, port: port, replicationID: replicationID)
        }

        func startAnother() throws { daemon = try Daemon(.replicate, configuration, folder: daemon.folder) }

        func increment(_ times: Int) { for _ in 0..<times { master.execute("INCR n") } }

        func expectEqual() throws {
            try waitUntilEqual(RESPClient(port: master.port), redis.client())
        }

        func expectReason(_ reason: String) {
            #expect(daemon.logs("a full sync is needed: \(reason)"), "\(daemon.log)")
        }
    }

    @Test(arguments: ["all flows", "one flow", "main"])
    func `cut connections are opened again, and every record is applied once`(_ place: String) throws {
        let scene = try Scene()
        for round in 1...5 {
            scene.increment(100)
            switch place {
            case "all flows": scene.master.endSessions()
            case "one flow": scene.master.cut(.flow(1), byReset: true)
            default: scene.master.cut(.main, byReset: false)
            }
            scene.increment(100)
            try wait(until: "it follows again") {
                scene.daemon.log.components(separatedBy: "resuming at the checkpoint").count == round + 1
            }
        }
        try scene.expectEqual()
        #expect(try scene.redis.client().command("GET", "n").text == "1000")
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test(arguments: [SIGTERM, SIGKILL])
    func `what a start finds applied is not applied again, and what it missed is`(_ signal: Int32) throws {
        let scene = try Scene()
        for round in 1...4 {
            scene.increment(300)
            scene.daemon.process.signal(signal)
            try scene.daemon.process.waitForEnd()
            scene.increment(300)
            try scene.startAnother()
            try scene.expectEqual()
            #expect(try scene.redis.client().command("GET", "n").text == "\(600 * round)")
        }
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.master.violations.filter { !$0.hasPrefix("RST ") } == [])
    }

    @Test func `a position that has left the source's buffer means a full sync`() throws {
        let scene = try Scene(shards: 1)
        scene.increment(10)
        try scene.expectEqual()
        try scene.daemon.leave()
        scene.increment(10)
        scene.master.forgetBacklog()
        try scene.startAnother()
        try scene.expectEqual()
        scene.expectReason("the source's buffer no longer holds what the checkpoint asks for")
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `a source that was restarted means a full sync, inside the same process`() throws {
        let scene = try Scene()
        scene.increment(10)
        try scene.expectEqual()
        scene.master.restart()
        scene.master.execute("DEL n")
        scene.master.execute("SET other v")
        try scene.expectEqual()
        scene.expectReason("the source is another master than the checkpoint's, or has been restarted")
        #expect(scene.daemon.status?["fullSyncs"] as? Int == 2)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    /// A v1.36.0 does so when a DEBUG POPULATE runs while a full sync ends.
    @Test func `records that the source leaves out mean a full sync, and are not made up for one by one`() throws {
        let scene = try Scene(shards: 1)
        scene.increment(10)
        try scene.expectEqual()
        scene.master.withholdingRecords { scene.increment(5) }
        scene.increment(1)
        try scene.daemon.wait(forLine: "the source says that LSN 16 was the last one, we counted to 11")
        scene.increment(1)
        try scene.expectEqual()
        #expect(try scene.redis.client().command("GET", "n").text == "17")
        scene.expectReason("the source has left records of its journal out")
        #expect(scene.daemon.status?["fullSyncs"] as? Int == 2)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `another number of shards means a full sync`() throws {
        let scene = try Scene()
        scene.increment(10)
        try scene.expectEqual()
        let id = scene.master.replicationID
        try scene.daemon.leave()
        try scene.replaceMaster(shards: 3, replicationID: id)
        for index in 0..<50 { scene.master.execute("SET k:\(index) v") }
        try scene.startAnother()
        // Database 0 was written to in the last second before the leave, and was noted with it.
        try scene.daemon.wait(forLine: "reconciled: 1 key removed")
        try scene.expectEqual()
        scene.expectReason("the source has 3 shards, the checkpoint is of 2")
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `a source that is away for long is waited for`() throws {
        let scene = try Scene()
        scene.increment(10)
        try scene.expectEqual()
        let port = scene.master.port
        scene.master.stop()
        try wait(until: "it has tried a few times") {
            scene.daemon.log.components(separatedBy: "another attempt in").count > 4
        }
        #expect(scene.daemon.status?["phase"] as? String != "stable")
        try scene.replaceMaster(shards: 2)
        #expect(scene.master.port == port)
        scene.increment(20)
        try scene.expectEqual()
        try scene.daemon.leave()
    }

    @Test func `after giveUpSeconds the service manager's restart takes over`() throws {
        let scene = try Scene(sections: ["reconnect": ["giveUpSeconds: 1"]])
        scene.master.stop()
        try scene.daemon.expectExit(69)
        #expect(scene.daemon.logs("Connection refused"))
    }

    @Test func `a source that loads its data when it is tried again is waited for`() throws {
        let scene = try Scene()
        scene.increment(10)
        scene.master.refuse(Refusal.loading(times: 3))
        scene.master.endSessions()
        try scene.daemon.wait(forLine: "the source is still loading its data set")
        scene.increment(10)
        try scene.expectEqual()
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }
}
