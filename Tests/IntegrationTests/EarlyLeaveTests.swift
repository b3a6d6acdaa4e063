import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// SIGTERM while the daemon waits for a peer: it leaves soon nevertheless, and sends FIN first on every open connection.
@Suite(.serialized)
struct `A leave outside the stable stream` {
    /// The unit's TimeoutStopSec= is 30 s. No wait for the source may be part of a leave, and the target is asked for 10 s at
    /// most to take its last TTLs.
    private static let limit = Duration.seconds(16)

    private final class Scene: TaskScene<RedisServer> {
        let capture: PacketCapture?

        /// The drain is the default one.
        init(_ data: SyntheticDataSet = .init(keys: 2000, valueBytes: 50), live: Bool = true) throws {
            var options = MasterOptions()
            options.shardCount = 2
            let master =
                live ? try SimulatedMaster(.live(data), options: options) : try SimulatedMaster(data, options: options)
            let port = try master.start()
            capture = PacketCapture.isPossible ? try PacketCapture(port: port) : nil
            try super.init(from: master, into: RedisServer(), ["shutdown": ["drainSeconds: 2"]])
        }

        func waitForCommand(_ command: String, times: Int = 1) throws {
            try wait(until: "the source is sent \(command)") {
                master.connections.reduce(0) { count, connection in
                    count + connection.commands.count { $0.uppercased().hasPrefix(command) }
                } >= times
            }
        }

        /// SIGTERM: exit code 0 in time, and every connection to the source ended by our FIN alone.
        func expectLeave(connections count: Int? = nil) throws {
            let begin = ContinuousClock.now
            daemon.process.signal(SIGTERM)
            try daemon.expectExit(0, timeout: .seconds(60))
            let time = begin.duration(to: .now)
            #expect(time < limit, "\(time):\n\(daemon.log)")
            try wait(until: "the master has seen every end") {
                master.connections.allSatisfy { $0.role == .client || $0.clientEnd != nil }
            }
            let open = master.connections.filter { $0.role != .client }
            if let count { #expect(open.count == count) }
            for connection in open {
                #expect(connection.clientEnd == .fin, "\(connection.role)")
                #expect(!connection.wasResetAfterFIN, "\(connection.role)")
            }
            #expect(master.violations == [])
            guard let capture else { return }
            try wait(until: "every end is on the wire") { capture.firstEnds.count >= open.count }
            #expect(capture.resets(of: master) == [], "\(daemon.log)")
            if !open.isEmpty { #expect(capture.ends.first?.to == master.port, "our FIN is the first of all") }
        }
    }

    @Test(arguments: ["PING", "REPLCONF CLIENT-ID", "DFLY FLOW"])
    func `is prompt if the source does not answer the handshake`(_ command: String) throws {
        let scene = try Scene()
        scene.master.refuse([Refusal(command, reply: nil)])
        try scene.start()
        try scene.waitForCommand(command)
        try scene.expectLeave()
    }

    @Test func `is prompt if the source does not answer DFLY SYNC`() throws {
        let scene = try Scene()
        scene.master.refuse([Refusal("DFLY SYNC", reply: nil)])
        try scene.start()
        try scene.waitForCommand("DFLY SYNC")
        try scene.expectLeave(connections: 3)
    }

    @Test func `is prompt if the source does not answer STARTSTABLE`() throws {
        let scene = try Scene()
        scene.master.refuse([Refusal("DFLY STARTSTABLE", reply: nil)])
        try scene.start()
        try scene.waitForCommand("DFLY STARTSTABLE")
        try scene.expectLeave(connections: 3)
    }

    @Test func `is prompt if the source does not answer the STARTSTABLE of a continued session`() throws {
        let scene = try Scene()
        try scene.start().wait(forLine: "stable: following")
        try scene.expectLeave(connections: 3)
        scene.master.refuse([Refusal("DFLY STARTSTABLE", reply: nil)])
        try scene.start()
        try scene.waitForCommand("DFLY STARTSTABLE", times: 2)
        try scene.expectLeave(connections: 6)
        #expect(scene.master.fullSyncs == 1)
    }

    @Test func `is prompt if a flow stalls in the middle of the snapshot`() throws {
        let scene = try Scene(.init(keys: 200_000, valueBytes: 100), live: false)
        scene.master.setFaults(.cutting(.stall, afterBytes: 1 << 20), on: .flow(1))
        try scene.start()
        try wait(until: "it stalls") { (scene.master.flow(1)?.streamBytesSent ?? 0) >= 1 << 20 }
        let daemon = scene.daemon
        daemon.process.signal(SIGTERM)
        try daemon.expectExit(0, timeout: Self.limit)
        #expect(scene.master.flow(0)?.clientEnd == .fin)
        #expect(scene.master.main?.clientEnd == .fin)
        #expect(daemon.logs("FIN sent on 2 flows"))
        if let capture = scene.capture { #expect(capture.ends.first?.to == scene.master.port) }
    }

    @Test func `is prompt while the source is loading its data`() throws {
        let scene = try Scene()
        scene.master.refuse(Refusal.loading(times: .max))
        try scene.start().wait(forLine: "another attempt")
        try scene.waitForCommand("PING", times: 3)
        try scene.expectLeave()
    }

    @Test func `is prompt if the target does not answer at the start`() throws {
        let scene = try Scene()
        scene.redis.pause()
        let daemon = try scene.start()
        try daemon.wait(forLine: "event=started")
        try scene.expectLeave(connections: 0)
    }

    @Test func `is prompt if the target stops answering while flows are open`() throws {
        let scene = try Scene()
        scene.master.refuse([Refusal("DFLY FLOW", reply: nil)])
        try scene.start()
        try scene.waitForCommand("DFLY FLOW")
        scene.redis.pause()
        try scene.expectLeave()
    }

    @Test func `is prompt if the target stalls in the middle of a value sent in pieces`() throws {
        var data = SyntheticDataSet(keys: 4, valueBytes: 40_000_000)
        data.content = .random
        let scene = try Scene(data, live: false)
        try scene.start().wait(forLine: "full sync begins")
        try wait(until: "the value is on its way") {
            (scene.daemon.status?["receivedBytes"] as? Int ?? 0) > 1 << 20
                || (scene.master.flow(0)?.streamBytesSent ?? 0) > 1 << 20
        }
        scene.redis.pause()
        try scene.expectLeave()
    }

    @Test(arguments: [true, false]) func `is prompt if a peer accepts no connections`(_ isSource: Bool) throws {
        let deaf = try DeafPort()
        let scene = try Scene()
        if isSource { scene.configuration.source = deaf.port } else { scene.configuration.target = deaf.port }
        let daemon = try scene.start()
        try daemon.wait(forLine: isSource ? "databases" : "event=started")
        try scene.expectLeave(connections: 0)
    }

    @Test func `asks systemd for the time that it may take`() throws {
        let scene = try Scene()
        let folder = try TemporaryFolder("notify")
        let manager = try ServiceManager(folder.file("socket"))
        let daemon = try scene.start(
            sections: ["shutdown": ["drainSeconds: 20", "finWaitSeconds: 5"]],
            environment: ["NOTIFY_SOCKET": folder.file("socket")])
        // The kernel holds a few messages only, so they are read meanwhile, as systemd does.
        try wait(until: "the stream is stable") {
            #expect(manager.extension == nil)
            return daemon.log.contains("stable: following")
        }
        daemon.process.signal(SIGTERM)
        try wait(until: "it asks") { manager.extension != nil }
        #expect(manager.extension ?? 0 > 35_000_000)
        // At once.
        try daemon.leave()
    }

    @Test func `is prompt while the daemon waits before another attempt`() throws {
        let scene = try Scene()
        let daemon = try scene.start(sections: ["reconnect": ["initialMilliseconds: 60000", "maxSeconds: 60"]])
        try daemon.wait(forLine: "stable: following")
        scene.master.endSessions()
        try daemon.wait(forLine: "another attempt in")
        try wait(until: "the status says so") { daemon.status?["phase"] as? String == "waiting" }
        #expect(daemon.status?["lagSeconds"] is NSNull)
        try daemon.leave(timeout: stopLimit)
        #expect(scene.master.violations == [])
    }
}

/// systemd's end of the notification socket.
private final class ServiceManager {
    private let descriptor: Int32
    private var text = ""

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let code = withUnsafeBytes(of: address) { bytes -> Int32 in
            guard let pointer = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress else { return -1 }
            return bind(descriptor, pointer, socklen_t(bytes.count))
        }
        guard code == 0 else { throw LabError("no socket at \(path)") }
    }

    deinit { close(descriptor) }

    /// The microseconds of the last EXTEND_TIMEOUT_USEC=.
    var `extension`: Int? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { break }
            text += String(decoding: bytes[..<count], as: UTF8.self) + "\n"
        }
        let prefix = "EXTEND_TIMEOUT_USEC="
        return text.split(separator: "\n").last { $0.hasPrefix(prefix) }.flatMap { Int($0.dropFirst(prefix.count)) }
    }
}

/// A port that completes no connection: its queue is full, and further ones are not answered.
private final class DeafPort {
    let port: UInt16
    private let listener: Int32
    private var fillers: [Int32] = []

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutableBytes(of: &address) { bytes -> Int32 in
            let pointer = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
            guard let pointer, bind(listener, pointer, size) == 0, listen(listener, 0) == 0 else { return -1 }
            return getsockname(listener, pointer, &size)
        }
        guard result == 0 else { throw LabError("no port to listen on") }
        port = UInt16(bigEndian: address.sin_port)
        for _ in 0..<4 {
            let filler = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            fillers.append(filler)
            withUnsafeMutableBytes(of: &address) { bytes in
                guard let pointer = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress else { return }
                _ = connect(filler, pointer, socklen_t(bytes.count))
            }
        }
    }

    deinit { for descriptor in fillers + [listener] { close(descriptor) } }
}
