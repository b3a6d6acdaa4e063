import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A source that goes away, or comes back with another state.
@Suite(.serialized) struct `A source that is lost` {
    /// A task that follows a source whose miscounts show at once.
    private final class Scene: TaskScene<RedisServer> {
        init(shards: Int = 2, _ sections: [String: [String]] = [:]) throws {
            try super.init(
                from: Scene.master(shards: shards), into: RedisServer(),
                RedisScene.retryingSoon.merging(sections) { $0 + $1 })
            try follow()
        }

        private static func master(
            shards: Int, port: UInt16 = 0, replicationID: String? = nil
        ) throws -> SimulatedMaster {
            try startedMaster(shards: shards) {
                $0.port = port
                $0.replicationID = replicationID
                $0.lsnRecordInterval = .zero
            }
        }

        func replaceMaster(shards: Int, replicationID: String? = nil) throws {
            try replaceMaster { try Self.master(shards: shards, port: $0, replicationID: replicationID) }
        }

        func increment(_ times: Int) { for _ in 0..<times { master.execute("INCR n") } }

        func expectReason(_ reason: String) {
            #expect(daemon.logs("a full sync is needed: \(reason)"), "\(daemon.log)")
        }
    }

    @Test(arguments: ["all flows", "one flow", "main"])
    func `broken connections are reopened, and every record is applied once`(_ place: String) throws {
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
                scene.daemon.count(of: "resuming at the checkpoint") == round
            }
        }
        try scene.waitUntilEqual()
        #expect(try scene.get("n") == "1000")
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test(arguments: [SIGTERM, SIGKILL])
    func `a new start applies only the records that it missed, each once`(_ signal: Int32) throws {
        let scene = try Scene()
        for round in 1...4 {
            scene.increment(300)
            scene.daemon.process.signal(signal)
            try scene.daemon.process.waitForEnd()
            scene.increment(300)
            try scene.start()
            try scene.waitUntilEqual()
            #expect(try scene.get("n") == "\(600 * round)")
        }
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
        #expect(scene.master.violations.filter { !$0.hasPrefix("RST ") } == [])
    }

    @Test func `a position that has left the source's buffer means a full sync`() throws {
        let scene = try Scene(shards: 1)
        scene.increment(10)
        try scene.waitUntilEqual()
        try scene.daemon.leave()
        scene.increment(10)
        scene.master.forgetBacklog()
        try scene.start()
        try scene.waitUntilEqual()
        scene.expectReason("the source's buffer no longer holds what the checkpoint asks for")
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `a source that was restarted means a full sync, inside the same process`() throws {
        let scene = try Scene()
        scene.increment(10)
        try scene.waitUntilEqual()
        scene.master.restart()
        scene.master.execute("DEL n")
        scene.master.execute("SET other v")
        try scene.waitUntilEqual()
        scene.expectReason("the source is another master than the checkpoint's, or has been restarted")
        #expect(scene.daemon.status?["fullSyncs"] as? Int == 2)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    /// A v1.36.0 does so when a DEBUG POPULATE runs while a full sync ends.
    @Test func `records that the source leaves out mean a full sync`() throws {
        let scene = try Scene(shards: 1)
        scene.increment(10)
        try scene.waitUntilEqual()
        scene.master.withholdingRecords { scene.increment(5) }
        scene.increment(1)
        try scene.daemon.wait(forLine: "the source says that LSN 16 was the last one, we counted to 11")
        scene.increment(1)
        try scene.waitUntilEqual()
        #expect(try scene.get("n") == "17")
        scene.expectReason("the source has left records of its journal out")
        #expect(scene.daemon.status?["fullSyncs"] as? Int == 2)
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `another number of shards means a full sync`() throws {
        let scene = try Scene()
        scene.increment(10)
        try scene.waitUntilEqual()
        let id = scene.master.replicationID
        try scene.daemon.leave()
        try scene.replaceMaster(shards: 3, replicationID: id)
        for index in 0..<50 { scene.master.execute("SET k:\(index) v") }
        try scene.start()
        // Database 0 was written to in the last second before the leave, and was noted with it.
        try scene.daemon.wait(forLine: "reconciled: 1 key removed")
        try scene.waitUntilEqual()
        scene.expectReason("the source has 3 shards, the checkpoint is of 2")
        try scene.daemon.leave()
        #expect(scene.master.violations == [])
    }

    @Test func `a source that is away for long is waited for`() throws {
        let scene = try Scene(["log": ["level: debug"]])
        scene.increment(10)
        try scene.waitUntilEqual()
        let port = scene.master.port
        scene.master.stop()
        try wait(until: "it has tried a few times") {
            scene.daemon.count(of: "another attempt in") > 8
        }
        // One warning for the end of the session, one for the reason that it cannot begin again, and no more for a minute.
        let attempts = scene.daemon.log.split(separator: "\n").filter { $0.contains("another attempt in") }
        #expect((1...3).contains(attempts.count { $0.contains(" warning ") }), "\(attempts)")
        #expect(scene.daemon.status?["phase"] as? String != "stable")
        try scene.replaceMaster(shards: 2)
        #expect(scene.master.port == port)
        scene.increment(20)
        try scene.waitUntilEqual()
        try scene.daemon.leave()
    }

    @Test func `the process ends after giveUpSeconds, so that the service manager restarts it`() throws {
        let scene = try Scene(["reconnect": ["giveUpSeconds: 1"]])
        scene.master.stop()
        try scene.daemon.expectExit(69)
        #expect(scene.daemon.logs("Connection refused"))
    }

    @Test func `a source that is loading its data at a reconnection is waited for`() throws {
        let scene = try Scene()
        scene.increment(10)
        scene.master.refuse(Refusal.loading(times: 3))
        scene.master.endSessions()
        try scene.daemon.wait(forLine: "the source is still loading its data set")
        scene.increment(10)
        try scene.waitUntilEqual()
        #expect(scene.master.fullSyncs == 1)
        try scene.daemon.leave()
    }
}
