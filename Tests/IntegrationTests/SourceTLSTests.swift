import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// What a daemon needs to reach a source that speaks TLS and asks for certificates.
private struct Certificates {
    let authority: CertificateAuthority
    let client: CertificateFiles
    let server: TLSPeer.Options

    init() throws {
        authority = try CertificateAuthority()
        client = try authority.issue("df2redis")
        server = TLSPeer.Options(try authority.issue(), clientAuthority: authority.file)
    }

    func section(ca: Bool = true, own: Bool = true) -> [String] {
        ["tls:", "  enabled: true"] + (ca ? ["  caFile: \(authority.file)"] : [])
            + (own ? ["  certFile: \(client.certificate)", "  keyFile: \(client.key)"] : [])
    }
}

/// A simulated master under load, TLS in front of it, and a real target.
@Suite(.serialized) struct `A source with TLS` {
    private final class Scene {
        let certificates: Certificates
        let master: SimulatedMaster
        let front: TLSTerminator
        let redis: RedisServer
        let capture: PacketCapture?
        let flows: Int

        init(flows: Int) throws {
            self.flows = flows
            certificates = try Certificates()
            var options = MasterOptions()
            options.shardCount = flows
            options.backlogRecords = 4 << 20
            master = try SimulatedMaster(.live(SyntheticDataSet(keys: 3000, valueBytes: 50)), options: options)
            front = try TLSTerminator(to: try master.start(), certificates.server)
            master.generateLoad(writesPerSecond: 10_000, seed: 7)
            redis = try RedisServer()
            capture = PacketCapture.isPossible ? try PacketCapture(port: front.port) : nil
        }

        var configuration: Daemon.Configuration {
            .init(source: front.port, target: redis.port, sections: ["source": certificates.section()])
        }

        /// Sent on the flows of the latest session.
        var streamBytes: Int { (0..<flows).reduce(0) { $0 + (master.flow($1)?.streamBytesSent ?? 0) } }

        func stop() {
            front.stop()
            redis.resume()
            redis.stop()
            master.stop()
        }

        func waitUntilEqualAtRest() throws {
            master.generateLoad(writesPerSecond: 0, seed: 0)
            try waitUntilEqual(RESPClient(port: master.port), redis.client())
        }
    }

    @Test(arguments: [1, 2, 4], [false, true])
    func `is left with close_notify and FIN under load, and read until its FIN`(
        _ flows: Int, _ targetHangs: Bool
    ) throws {
        let scene = try Scene(flows: flows)
        defer { scene.stop() }
        let daemon = try Daemon(.replicate, scene.configuration)
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        let atStable = scene.streamBytes
        try wait(until: "there is load") { scene.streamBytes > atStable + 500_000 }
        if targetHangs { scene.redis.pause() }
        try daemon.leave(timeout: stopLimit)
        for flow in 0..<flows {
            #expect(
                daemon.log.split(separator: "\n").contains { $0.contains("flow=\(flow)") && $0.contains("FIN is here") }
            )
        }
        try wait(until: "every end is seen") { scene.front.ends.count >= flows + 1 }
        // With the first FIN the master ends the session: its own may overtake ours on another flow.
        #expect(scene.front.ends.allSatisfy { $0 == .notified || $0 == .late }, "\(scene.front.ends)")
        #expect(scene.front.ends.contains(.notified))
        #expect(scene.front.bytesAfterClose == 0)
        #expect(scene.front.failures == [])
        #expect(scene.master.violations == [])
        if let capture = scene.capture {
            try wait(until: "every end is on the wire") { capture.firstEnds.count >= flows + 1 }
            #expect(capture.resets == [])
        }
        scene.redis.resume()
        let next = try Daemon(.replicate, scene.configuration, folder: daemon.folder)
        defer { next.process.kill() }
        try next.wait(forLine: "resuming at the checkpoint")
        try scene.waitUntilEqualAtRest()
        try next.leave()
        #expect(scene.master.fullSyncs == 1)
    }

    @Test func `is left with FIN only by the successor of a killed process`() throws {
        let scene = try Scene(flows: 2)
        defer { scene.stop() }
        let store = try DescriptorStore()
        var daemon = try Daemon(.replicate, scene.configuration, store: store)
        defer { daemon.process.kill() }
        for kill in 1...5 {
            try daemon.wait(forLine: "stable")
            let before = scene.streamBytes
            try wait(until: "there is load") { scene.streamBytes > before + 100_000 }
            // A task that resumes walks over the source's streams for a moment: a connection that is killed in its handshake
            // has unread bytes, and the kernel resets it.
            try wait(until: "the walk is over") { !store.names.contains("streams") }
            daemon.process.kill()
            let names = store.names
            #expect(names.filter { $0 != "streams" } == ["flow-0", "flow-1", "inspector", "main"])
            daemon = try Daemon(.replicate, scene.configuration, folder: daemon.folder, store: store)
            try daemon.wait(forLine: "resuming at the checkpoint")
            #expect(
                daemon.log.contains("its \(names.count) connections to the source are closed, FIN first"),
                "kill \(kill)")
            #expect(!daemon.log.contains("of the previous process:"), "\(daemon.log)")
        }
        try scene.waitUntilEqualAtRest()
        try daemon.leave()
        #expect(store.names == [])
        #expect(scene.front.ends.count { $0 == .bare } >= 15)
        #expect(!scene.front.ends.contains(.broken), "\(scene.front.ends)")
        #expect(scene.master.violations == [])
        #expect(scene.master.fullSyncs == 1)
        if let capture = scene.capture { #expect(capture.resets == []) }
    }

    @Test func `ends a misconfigured start with exit code 78 or 77 and the setting to change`() throws {
        let scene = try Scene(flows: 1)
        defer { scene.stop() }
        let port = scene.front.port
        for (section, source, status, text) in [
            (
                scene.certificates.section(ca: false), port, 78,
                "the source: the certificate of 127.0.0.1:\(port) comes from"
            ),
            (
                scene.certificates.section(own: false), port, 77,
                "requires a client certificate: set source.tls.certFile"
            ),
            (scene.certificates.section(), scene.master.port, 78, "set source.tls.enabled to false"),
            ([], port, 78, "the source 127.0.0.1:\(port) speaks TLS on this port: set source.tls.enabled"),
        ] as [([String], UInt16, Int32, String)] {
            let daemon = try Daemon(
                .replicate, .init(source: source, target: scene.redis.port, sections: ["source": section]))
            defer { daemon.process.kill() }
            try daemon.expectExit(status)
            #expect(daemon.logs(text), "\(daemon.log)")
            // Over an ordinary connection it is the same.
            let check = try daemon.run("check")
            #expect(check.code == status, "\(check)")
            #expect(check.output.contains(text), "\(check)")
        }
    }
}

/// The same with a real master, seen by a packet capture.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"),
    .enabled(if: PacketCapture.isPossible, "tcpdump cannot be used"))
struct `A real Dragonfly with TLS` {
    private let certificates: Certificates

    init() throws { certificates = try Certificates() }

    private func configuration(_ master: DragonflyServer, _ redis: RedisServer) -> Daemon.Configuration {
        .init(source: master.port, target: redis.port, sections: ["source": certificates.section()])
    }

    private func expectEqual(_ master: DragonflyServer, _ redis: RedisServer) throws {
        let (source, target) = (try master.client(), try redis.client())
        try waitUntilEqual(timeout: .seconds(60)) {
            try ServerData(reading: source).differences(in: ServerData(reading: target).withoutCheckpoints)
        }
    }

    @Test(arguments: [1, 2, 4], [false, true])
    func `is left under load without RST, and followed again afterwards`(_ shards: Int, _ targetHangs: Bool) throws {
        let master = try DragonflyServer(shards: shards, tls: certificates.server)
        let redis = try RedisServer()
        defer {
            redis.resume()
            redis.stop()
            master.stop()
        }
        let writer = try RandomWriter(port: master.plainPort, seed: 3)
        let daemon = try Daemon(.replicate, configuration(master, redis))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        try leaveUnderLoad(daemon, from: master, shards: shards, writer) { if targetHangs { redis.pause() } }
        redis.resume()
        let next = try Daemon(.replicate, configuration(master, redis), folder: daemon.folder)
        defer { next.process.kill() }
        try next.wait(forLine: "stable")
        try writer.stop()
        try expectEqual(master, redis)
        try next.leave()
        #expect(!master.log.contains("inflight bytes"))
    }

    @Test func `makes a client without TLS or certificate end with the setting to change`() throws {
        let master = try DragonflyServer(tls: certificates.server)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        for (section, status, text) in [
            ([], 78, "set source.tls.enabled"),
            (certificates.section(own: false), 77, "requires a client certificate: set source.tls.certFile"),
        ] as [([String], Int32, String)] {
            let daemon = try Daemon(
                .replicate, .init(source: master.port, target: redis.port, sections: ["source": section]))
            defer { daemon.process.kill() }
            try daemon.expectExit(status)
            #expect(daemon.logs(text), "\(daemon.log)")
        }
        #expect(try master.client().command("PING").text == "PONG")
    }

    @Test(arguments: [true, false])
    func `survives 20 kills of the daemon under load`(_ hasStore: Bool) throws {
        let master = try DragonflyServer(shards: 2, tls: certificates.server)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let writer = try RandomWriter(port: master.plainPort, seed: printedSeed())
        let capture = try PacketCapture(port: master.port)
        let store = hasStore ? try DescriptorStore() : nil
        var daemon = try Daemon(.replicate, configuration(master, redis), store: store)
        defer { daemon.process.kill() }
        for _ in 1...20 {
            try daemon.wait(forLine: "stable")
            let before = writer.commandCount
            try wait(until: "there is load") { writer.commandCount > before + 5000 }
            daemon.process.kill()
            daemon = try Daemon(.replicate, configuration(master, redis), folder: daemon.folder, store: store)
        }
        try daemon.wait(forLine: "stable")
        try writer.stop()
        try expectEqual(master, redis)
        try daemon.leave()
        #expect(try master.client().command("PING").text == "PONG", "it lives")
        let client = try master.client()
        try wait(until: "no session is left") { try client.info("replication", "connected_slaves") == "0" }
        // Without a store the kernel ends the killed process's sockets as it likes.
        if hasStore { #expect(capture.resets == []) }
    }
}
