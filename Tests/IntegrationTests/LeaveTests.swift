import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// What a master sees of a daemon that leaves while clients write to the master at full speed.
@Suite(.serialized)
struct `The leave under full write load` {
    private static let writesPerSecond = 20_000

    private final class Scene: TaskScene<RedisServer> {
        let capture: PacketCapture?
        let flows: Int

        /// The drain is the default one.
        init(flows: Int, drainSeconds: Int = 2) throws {
            self.flows = flows
            var options = MasterOptions()
            options.shardCount = flows
            // Keep all records that come between two daemons.
            options.backlogRecords = 4 << 20
            let master = try SimulatedMaster(.live(SyntheticDataSet(keys: 3000, valueBytes: 50)), options: options)
            let port = try master.start()
            master.generateLoad(writesPerSecond: writesPerSecond, seed: 7)
            let redis = try RedisServer()
            capture = PacketCapture.isPossible ? try PacketCapture(port: port) : nil
            try super.init(from: master, into: redis, ["shutdown": ["drainSeconds: \(drainSeconds)"]])
            try follow()
            try wait(until: "every flow is acknowledged") {
                observedFlows.count == flows && observedFlows.allSatisfy { $0.acknowledgements.count > 3 }
            }
        }

        /// The flows of the latest session.
        var observedFlows: [ConnectionObservation] { (0..<flows).compactMap { master.flow($0) } }

        /// The next LSN of each flow that the target's checkpoint holds.
        func checkpoint() throws -> [UInt64] {
            let client = try redis.client()
            return try (0..<flows).map { flow in
                let text = try client.command("HGET", "df2redis:checkpoint:\(Daemon.taskName)", "flow:\(flow)").text
                return try #require(text?.split(separator: " ").last.flatMap { UInt64($0) })
            }
        }

        /// FIN was the first end that the master saw, flows before the main connection, and everything it sent was read.
        func expectOrderlyEnds() throws {
            // The daemon does not wait for a master that is slow to look.
            try wait(until: "the master has seen every end") {
                (observedFlows + [master.main].compactMap(\.self)).allSatisfy { $0.clientEnd != nil }
            }
            let main = try #require(master.main)
            let ends = observedFlows
            #expect(ends.count == flows)
            for connection in ends + [main] {
                #expect(connection.clientEnd == .fin, "\(connection.role)")
                #expect(!connection.wasResetAfterFIN, "\(connection.role)")
            }
            for (flow, connection) in ends.enumerated() {
                #expect(connection.sentFIN)
                let figures = daemon.log.split(separator: "\n").last {
                    $0.contains("flow=\(flow)") && $0.contains("FIN is here")
                }
                #expect(
                    figures?.contains(" \(connection.streamBytesSent) bytes received") == true,
                    "\(figures ?? "no line")")
            }
            // With the first FIN the master ends the session: its own may overtake ours on another flow.
            let first = try #require(ends.compactMap(\.endOrder).min())
            #expect(try first < #require(main.endOrder))
            #expect(master.violations == [])
            if let capture {
                try wait(until: "every end is on the wire") { capture.firstEnds.count >= flows + 1 }
                #expect(capture.resets(of: master) == [], "\(daemon.log)")
                #expect(capture.ends.first?.to == master.port, "our FIN is the first of all")
            }
        }

        /// A second daemon goes on from the checkpoint: nothing is lost, nothing is done twice.
        func expectContinuation() throws {
            let next = try start()
            try next.wait(forLine: "resuming at the checkpoint")
            master.generateLoad(writesPerSecond: 0, seed: 0)
            try waitUntilEqual()
            try next.leave()
            #expect(master.fullSyncs == 1)
        }
    }

    @Test(arguments: [(1, SIGTERM), (2, SIGTERM), (4, SIGTERM), (2, SIGINT), (2, SIGQUIT)])
    func `sends FIN first and applies everything received`(_ flows: Int, _ signal: Int32) throws {
        let scene = try Scene(flows: flows)
        scene.daemon.process.signal(signal)
        try scene.daemon.wait(forLine: "acknowledgements stopped")
        let silent = ContinuousClock.now
        try scene.daemon.expectExit(0, timeout: stopLimit)

        for flow in scene.observedFlows {
            // The last one may still have been on its way; at this load there would be dozens in the drain.
            let late = flow.acknowledgements.filter { $0.time > silent + .milliseconds(750) }
            #expect(late.isEmpty, "\(flow.role) was acknowledged \(late.count) times after the end")
        }
        try scene.expectOrderlyEnds()
        let positions = try scene.checkpoint()
        for (flow, next) in positions.enumerated() {
            #expect(scene.daemon.logs("everything received is applied, next LSN \(next) "), "flow \(flow)")
        }
        try scene.expectContinuation()
    }

    @Test(arguments: [1, 2, 4])
    func `looks the same to the master if the target hangs`(_ flows: Int) throws {
        let scene = try Scene(flows: flows)
        scene.redis.pause()
        scene.daemon.process.signal(SIGTERM)
        try scene.daemon.wait(forLine: "left in ")
        let left = ContinuousClock.now
        try scene.daemon.expectExit(0, timeout: stopLimit)
        #expect(left.duration(to: .now) < .seconds(4), "the target is not waited for then")
        #expect(scene.daemon.logs("that this process runs the task is recorded there until"))
        try scene.expectOrderlyEnds()
        let rests = scene.daemon.log.split(separator: "\n").filter {
            $0.contains("are not applied and not acknowledged")
        }
        #expect(rests.count == flows, "\(scene.daemon.log)")

        scene.redis.resume()
        let positions = try scene.checkpoint()
        for (flow, next) in zip(scene.observedFlows, positions) {
            let last = try #require(flow.acknowledgements.last?.lsn)
            #expect(last <= next, "acknowledged is what the target has")
        }
        try scene.expectContinuation()
    }

    @Test func `shortens the drain after a second signal, and still sends FIN first`() throws {
        let scene = try Scene(flows: 2, drainSeconds: 20)
        scene.daemon.process.signal(SIGTERM)
        try scene.daemon.wait(forLine: "acknowledgements stopped")
        scene.daemon.process.signal(SIGTERM)
        // This is shorter than the drain.
        try scene.daemon.expectExit(0, timeout: .seconds(15))
        try scene.expectOrderlyEnds()
    }

    @Test func `is not begun by SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2 or SIGALRM`() throws {
        let scene = try Scene(flows: 2)
        for signal in [SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGHUP] { scene.daemon.process.signal(signal) }
        let counts = scene.observedFlows.map(\.acknowledgements.count)
        try wait(until: "the flows are acknowledged further") {
            zip(scene.observedFlows, counts).allSatisfy { $0.acknowledgements.count > $1 + 3 }
        }
        #expect(!scene.daemon.log.contains("leaving"))
        try scene.daemon.leave()
        try scene.expectOrderlyEnds()
    }

    @Test func `is as orderly in the middle of a full sync, and skips the drain`() throws {
        var options = MasterOptions()
        options.shardCount = 2
        let master = try SimulatedMaster(SyntheticDataSet(keys: 400_000, valueBytes: 400), options: options)
        let port = try master.start()
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let capture = PacketCapture.isPossible ? try PacketCapture(port: port) : nil
        let daemon = try Daemon(
            .replicate, .init(source: port, target: redis.port, sections: ["shutdown": ["drainSeconds: 20"]]))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "full sync begins")
        try wait(until: "data flows") { (master.flow(1)?.streamBytesSent ?? 0) > 1 << 20 }
        daemon.process.signal(SIGTERM)
        try daemon.expectExit(0, timeout: .seconds(15))
        let ends = { [master.flow(0), master.flow(1), master.main].compactMap(\.self) }
        try wait(until: "the master has seen every end") { ends().count { $0.clientEnd != nil } == 3 }
        #expect(ends().allSatisfy { $0.clientEnd == .fin })
        #expect(master.violations == [])
        if let capture { #expect(capture.resets(of: master) == [], "\(daemon.log)") }
    }

    @Test func `ends at once while the source does not answer the handshake`() throws {
        let master = try SimulatedMaster()
        let port = try master.start()
        master.refuse([Refusal("REPLCONF CAPA", reply: nil)])
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let daemon = try Daemon(.replicate, .init(source: port, target: redis.port))
        defer { daemon.process.kill() }
        try wait(until: "the daemon waits for the source") {
            master.connections.contains { $0.commands.contains { $0.uppercased().hasPrefix("REPLCONF CAPA") } }
        }
        // This is shorter than the daemon's timeout for the answer.
        try daemon.leave(timeout: .seconds(9))
        #expect(master.violations == [])
    }
}

/// The same with a real master, seen by a packet capture.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"),
    .enabled(if: PacketCapture.isPossible, "tcpdump cannot be used"))
struct `The leave from a real Dragonfly` {
    @Test(arguments: [1, 2, 4], [false, true])
    func `sends no RST on any connection, and the writers go on`(_ shards: Int, _ targetHangs: Bool) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.resume()
            redis.stop()
            master.stop()
        }
        let writer = try RandomWriter(port: master.port, seed: 3)
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        try leaveUnderLoad(daemon, from: master, shards: shards, writer) { if targetHangs { redis.pause() } }
        try writer.stop()
        #expect(!master.log.contains("inflight bytes"))
    }
}
