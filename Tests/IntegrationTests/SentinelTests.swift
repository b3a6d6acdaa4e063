import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// A target that sentinels find and move, under live writes.
@Suite(.serialized) struct `A target found through Sentinel` {
    private func configuration(_ master: UInt16, _ section: [String]) -> Daemon.Configuration {
        .init(source: master, target: nil, sections: ["target": section, "reconnect": ["maxSeconds: 1"]])
    }

    private func expectEqual(_ master: SimulatedMaster, _ server: RedisServer) throws {
        master.generateLoad(writesPerSecond: 0, seed: 0)
        try waitUntilEqual(RESPClient(port: master.port), server.client())
    }

    private enum Loss: String, CaseIterable {
        /// The master is killed.
        case killed
        /// It hangs, and comes back later as a replica.
        case hanging
        /// The operator moves it.
        case asked
    }

    @Test(arguments: Loss.allCases)
    private func `is followed through a failover under load, and each record is applied once`(_ loss: Loss) throws {
        let source = try startedMaster(.live(SyntheticDataSet(keys: 2000, valueBytes: 50))) {
            $0.backlogRecords = 4 << 20
        }
        let group = try SentinelGroup()
        defer {
            group.stop()
            source.stop()
        }
        let daemon = try Daemon(.replicate, configuration(source.port, group.section()))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        source.generateLoad(writesPerSecond: 3000, seed: 11)
        let old = try #require(group.master)
        let new = try #require(group.servers.first { $0 !== old })
        let replica = try new.client()
        try wait(until: "the replica has the data") { try replica.command("DBSIZE").int ?? 0 > 2000 }
        switch loss {
        case .killed: old.kill()
        case .hanging: old.pause()
        case .asked: try group.failover()
        }
        try wait(until: "the replica is promoted") { try new.client().info("replication", "role") == "master" }
        try daemon.wait(forLine: "have moved 'mymaster' from 127.0.0.1:\(old.port) to 127.0.0.1:\(new.port)")
        let count = source.nextLSNs.reduce(0, +)
        try wait(until: "writes go on") { source.nextLSNs.reduce(0, +) > count + 3000 }
        if loss == .hanging { old.resume() }
        try expectEqual(source, new)
        #expect(daemon.process.isRunning)
        try daemon.leave()
        #expect(source.fullSyncs == 1, "\(daemon.log)")
        #expect(source.violations == [])
    }

    @Test func `gets the last writes again if it lacks them after a failover`() throws {
        let source = try startedMaster(.live(SyntheticDataSet(keys: 100, valueBytes: 50))) {
            $0.backlogRecords = 4 << 20
        }
        let group = try SentinelGroup()
        defer {
            group.stop()
            source.stop()
        }
        let daemon = try Daemon(.replicate, configuration(source.port, group.section()))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        let old = try #require(group.master)
        let new = try #require(group.servers.first { $0 !== old })
        let client = try RESPClient(port: source.port)
        for _ in 0..<100 { try client.command("INCR", "counted") }
        try wait(until: "both have them") { try new.client().command("GET", "counted").text == "100" }
        // The replica stops, and misses the next ones; the master stops before the replica has got them.
        new.pause()
        for _ in 0..<100 { try client.command("INCR", "counted") }
        try wait(until: "the master has them") { try old.client().command("GET", "counted").text == "200" }
        old.kill()
        new.resume()
        try wait(until: "the replica is promoted") { try new.client().info("replication", "role") == "master" }
        for _ in 0..<100 { try client.command("INCR", "counted") }
        try wait(until: "it counts to the end", timeout: .seconds(60)) {
            try new.client().command("GET", "counted").text == "300"
        }
        try expectEqual(source, new)
        try daemon.leave()
        #expect(source.fullSyncs == 1, "\(daemon.log)")
    }

    @Test func `gets values read at the source again if it lacks them after a failover`() throws {
        let source = try startedMaster()
        let group = try SentinelGroup()
        defer {
            group.stop()
            source.stop()
        }
        let daemon = try Daemon(.replicate, configuration(source.port, group.section()))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        let old = try #require(group.master)
        let new = try #require(group.servers.first { $0 !== old })
        let (client, target, replica) = (try RESPClient(port: source.port), try old.client(), try new.client())
        for number in 0..<10 { try client.command("SET", "key:\(number)", "\(number)") }
        try wait(until: "both have them") { try replica.command("EXISTS", "key:9").int == 1 }
        for number in 0..<10 { try target.command("SET", "key:\(number)", "by a stranger") }
        try wait(until: "both have a stranger's") {
            try replica.command("GET", "key:9").text == "by a stranger"
        }
        // The filler is larger than the paused replica's socket buffer: nothing after it reaches the replica.
        new.pause()
        try target.command("SET", "filler", String(repeating: "x", count: 32 << 20))
        try target.command("DEL", "filler")
        let refresh = try ChildProcess(
            BuiltProgram.daemon.path, ["refresh", "lab"] + (0..<10).map { "key:\($0)" },
            output: daemon.folder.file("refreshed"), environment: ["RUNTIME_DIRECTORY": daemon.folder.file("run")])
        #expect(try refresh.waitForEnd() == .exited(0))
        try waitUntilEqual(client, target)
        old.kill()
        new.resume()
        try wait(until: "the replica is promoted", timeout: .seconds(90)) {
            try new.client().info("replication", "role") == "master"
        }
        try daemon.wait(forLine: "the target has lost its last writes: 10 keys")
        try waitUntilEqual(client, new.client())
        try daemon.leave()
        #expect(source.fullSyncs == 1, "\(daemon.log)")
    }

    @Test func `causes an error at the start that names the sentinel or the setting at fault`() throws {
        let source = try startedMaster()
        let group = try SentinelGroup(password: "s3cret")
        defer {
            group.stop()
            source.stop()
        }
        let addresses = "[\(group.sentinels.map { "\"127.0.0.1:\($0.port)\"" }.joined(separator: ", "))]"
        let server = group.servers[0].port
        let first = group.sentinels[0].port
        for (lines, status, text) in [
            (
                ["master: yourmaster", "addrs: \(addresses)", "password: s3cret"], 78,
                "know no master of the name 'yourmaster', but mymaster: correct target.sentinel.master"
            ),
            (
                ["master: mymaster", "addrs: \(addresses)"], 77,
                "the sentinel 127.0.0.1:\(first) requires a password: set target.sentinel.password"
            ),
            (
                ["master: mymaster", "addrs: \(addresses)", "password: wrong"], 77,
                "the sentinel 127.0.0.1:\(first) refuses target.sentinel.password or username"
            ),
            (
                ["master: mymaster", "addrs: \"127.0.0.1:\(server)\""], 78,
                "127.0.0.1:\(server) is no sentinel: correct target.sentinel.addrs"
            ),
            (
                ["master: mymaster", "addrs: [\"127.0.0.1:1\", \"127.0.0.1:2\"]"], 75,
                "none of the sentinels of target.sentinel.addrs answers: connect 127.0.0.1:1: Connection refused; connect 127.0.0.1:2"
            ),
        ] as [([String], Int32, String)] {
            let section = ["sentinel:"] + lines.map { "  " + $0 }
            let daemon = try Daemon(.replicate, configuration(source.port, section))
            defer { daemon.process.kill() }
            try daemon.expectExit(status)
            #expect(daemon.logs(text), "\(daemon.log)")
        }
    }

    @Test func `must not be a sentinel itself; the error names the settings to use`() throws {
        let source = try startedMaster()
        let group = try SentinelGroup()
        let folder = try TemporaryFolder("sentinel-as-target")
        defer {
            group.stop()
            source.stop()
        }
        let daemon = try Daemon(.replicate, .init(source: source.port, target: group.sentinels[0].port), folder: folder)
        defer { daemon.process.kill() }
        try daemon.expectExit(78)
        let text = "target.addr is a sentinel's, which holds no data"
        #expect(daemon.logs("\(text): set target.sentinel.addrs to the sentinels and target.sentinel.master"))
        for (command, status) in [("check", 78), ("preflight", 65)] as [(String, Int32)] {
            let process = try ChildProcess(
                BuiltProgram.daemon.path, [command, "--config", folder.file("lab.yaml")],
                output: folder.file("\(command).out"), error: folder.file("\(command).err"))
            #expect(try process.waitForEnd(timeout: .seconds(60)) == .exited(status), "\(command)")
            let said = process.output + process.errorOutput
            #expect(said.contains(text) && said.contains("set target.sentinel.addrs"), "\(said)")
        }
    }

    @Test func `is found while one sentinel is down and another is outdated, with warnings`() throws {
        let source = try startedMaster()
        let group = try SentinelGroup()
        defer {
            group.stop()
            source.stop()
        }
        group.sentinels[0].kill()
        // This sentinel has a wrong master, without a failover.
        let stray = try RedisServer()
        defer { stray.stop() }
        let client = try group.sentinels[1].client()
        try client.command("SENTINEL", "REMOVE", group.name)
        try client.command("SENTINEL", "MONITOR", group.name, "127.0.0.1", "\(stray.port)", "2")
        try RESPClient(port: source.port).command("SET", "k", "v")
        let three = group.section()
        let daemon = try Daemon(.migrate, configuration(source.port, three))
        defer { daemon.process.kill() }
        try daemon.expectExit(0)
        #expect(daemon.logs("the sentinel 127.0.0.1:\(group.sentinels[0].port) is of no help"))
        #expect(daemon.logs("the sentinels disagree on the master of 'mymaster'"))
    }

    @Test func `is followed through sentinels with a user of minimal rights`() throws {
        let source = try startedMaster(.live(SyntheticDataSet(keys: 100, valueBytes: 50)))
        let group = try SentinelGroup()
        defer {
            group.stop()
            source.stop()
        }
        let rights = [
            "on", ">s3cret", "resetchannels", "&+switch-master", "-@all", "+sentinel|get-master-addr-by-name",
            "+sentinel|master", "+sentinel|masters", "+subscribe",
        ]
        for sentinel in group.sentinels { try sentinel.client().command(["ACL", "SETUSER", "df"] + rights) }
        let daemon = try Daemon(
            .replicate, configuration(source.port, group.section(["username: df", "password: s3cret"])))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        let old = try #require(group.master)
        let new = try #require(group.servers.first { $0 !== old })
        old.pause()
        try daemon.wait(forLine: "have moved 'mymaster' from 127.0.0.1:\(old.port) to 127.0.0.1:\(new.port)")
        try RESPClient(port: source.port).command("SET", "after", "v")
        try wait(until: "the new master has what came") { try new.client().command("GET", "after").text == "v" }
        try daemon.leave()
        #expect(!daemon.log.contains("NOPERM"), "\(daemon.log)")
    }

    @Test func `is found through sentinels with TLS and a password`() throws {
        let source = try startedMaster()
        let authority = try CertificateAuthority()
        let group = try SentinelGroup(password: "s3cret", tls: .init(try authority.issue()))
        defer {
            group.stop()
            source.stop()
        }
        try RESPClient(port: source.port).command("SET", "k", "v")
        let daemon = try Daemon(
            .migrate,
            configuration(
                source.port,
                group.section(["password: s3cret", "tls:", "  enabled: true", "  caFile: \(authority.file)"])))
        defer { daemon.process.kill() }
        try daemon.expectExit(0)
        #expect(try group.servers[0].client().command("GET", "k").text == "v")
        // The commands beside the task find the target in the same way.
        let equal = try daemon.run("check", "--settle", "0.2", "--mode", "outline")
        #expect(equal.code == 0 && equal.output.hasPrefix("equal: 1 key"), "\(equal)")
        let preflight = try daemon.run("preflight")
        #expect(preflight.output.contains("'mymaster' is 127.0.0.1:\(group.servers[0].port), of 3 sentinels"))
        let plain = try Daemon(.migrate, configuration(source.port, group.section()))
        defer { plain.process.kill() }
        try plain.expectExit(78)
        #expect(plain.logs("speaks TLS on this port: set target.sentinel.tls.enabled"))
    }

    /// Programs to run servers and sentinels with, and whether they speak TLS.
    private enum Program: String, CaseIterable {
        case redis, valkey

        static var present: [Program] { RedisServer.valkeyBinary == nil ? [.redis] : allCases }
        var binary: String? { self == .valkey ? RedisServer.valkeyBinary : nil }

        /// Some builds of Valkey have no TLS.
        func speaksTLS(_ options: TLSPeer.Options) -> Bool {
            guard let server = try? RedisServer(binary: binary, tls: options) else { return false }
            server.stop()
            return true
        }
    }

    @Test(arguments: Program.present)
    private func `is followed with TLS, users and minimal rights at servers and sentinels at once`(
        _ program: Program
    ) throws {
        let source = try startedMaster(.live(SyntheticDataSet(keys: 1000, valueBytes: 50))) {
            $0.backlogRecords = 4 << 20
        }
        let authority = try CertificateAuthority()
        let client = try authority.issue("df2redis")
        let options = TLSPeer.Options(try authority.issue(), clientAuthority: authority.file)
        let tls = program.speaksTLS(options) ? options : nil
        if tls == nil { print("\(program.rawValue) speaks no TLS here: without it") }
        let group = try SentinelGroup(password: "s3cret", tls: tls, serverTLS: tls, binary: program.binary)
        defer {
            group.stop()
            source.stop()
        }
        let rights = [
            "on", ">password", "~*", "-@all", "+@read", "+@write", "+@connection", "+@transaction", "+@scripting",
            "+info", "+config|get", "+config|set",
        ]
        for server in group.servers { try server.client().command(["ACL", "SETUSER", "df2redis"] + rights) }
        let encryption =
            tls == nil
            ? []
            : [
                "tls:", "  enabled: true", "  caFile: \(authority.file)", "  certFile: \(client.certificate)",
                "  keyFile: \(client.key)",
            ]
        var configuration = configuration(source.port, group.section(["password: s3cret"] + encryption))
        configuration.sections["target", default: []] += ["username: df2redis", "password: password"] + encryption
        let daemon = try Daemon(.replicate, configuration)
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        source.generateLoad(writesPerSecond: 1000, seed: 5)
        let old = try #require(group.master)
        let new = try #require(group.servers.first { $0 !== old })
        old.pause()
        let places = [old, new].map { "127.0.0.1:\($0.tlsPort ?? $0.port)" }
        try daemon.wait(forLine: "have moved 'mymaster' from \(places[0]) to \(places[1])")
        let count = source.nextLSNs.reduce(0, +)
        try wait(until: "writes go on") { source.nextLSNs.reduce(0, +) > count + 1000 }
        old.resume()
        try expectEqual(source, new)
        try wait(until: "the old one follows") { try old.client().info("replication", "master_link_status") == "up" }
        try daemon.leave()
        #expect(!daemon.log.contains("NOPERM"), "\(daemon.log)")
        #expect(!daemon.log.contains("may not use"))
        #expect(source.fullSyncs == 1, "\(daemon.log)")
        guard program == .valkey else { return }
        for server in [old, new] {
            let mode = try server.client().command("CONFIG", "GET", "import-mode").array?.last?.text
            #expect(mode == "no", "the one that was left, too, may be the master again")
        }
    }
}
