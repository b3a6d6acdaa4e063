import Foundation
import Lab
import Testing
import Wire

extension RunAlone {
    /// A real Dragonfly under random writes of every family, into a cluster, TLS at both ends, while the daemon is killed and the
    /// cluster fails over, moves slots and loses a master.
    @Suite(.enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
    struct `A real Dragonfly and a cluster, with TLS` {}
}

extension RunAlone.`A real Dragonfly and a cluster, with TLS` {
    private final class Scene {
        let master: DragonflyServer
        let cluster: RedisCluster
        private let configuration: Daemon.Configuration
        private let folder: TemporaryFolder
        private(set) var daemon: Daemon

        init(shards: Int) throws {
            let authority = try CertificateAuthority()
            let files = try authority.issue("df2redis")
            let options = TLSPeer.Options(try authority.issue(), clientAuthority: authority.file)
            master = try DragonflyServer(
                shards: shards, flags: ["--shard_repl_backlog_len", "1000000"], tls: options)
            cluster = try RedisCluster(["--appendonly", "yes", "--tls-auth-clients", "no"], tls: options)
            let tls = [
                "tls:", "  enabled: true", "  caFile: \(authority.file)", "  certFile: \(files.certificate)",
                "  keyFile: \(files.key)",
            ]
            let seeds = cluster.nodes.map { "\"127.0.0.1:\($0.tlsPort ?? 0)\"" }.joined(separator: ", ")
            configuration = .init(
                source: master.port, target: cluster.nodes[0].tlsPort,
                sections: [
                    "source": tls, "target": ["type: cluster", "cluster: {seeds: [\(seeds)]}"] + tls,
                    "reconnect": ["initialMilliseconds: 50", "maxSeconds: 1"], "shutdown": ["drainSeconds: 0.2"],
                ])
            folder = try TemporaryFolder("tls-cluster")
            (self.authority, self.files) = (authority, files)
            daemon = try Daemon(.replicate, configuration, folder: folder)
        }

        /// As long as somebody reads their files.
        private let authority: CertificateAuthority
        private let files: CertificateFiles

        deinit {
            daemon.process.kill()
            cluster.stop()
            master.stop()
        }

        func restart() throws {
            daemon.process.kill()
            daemon = try Daemon(.replicate, configuration, folder: folder)
        }

        /// As a service manager does: the cluster may not be ready when the daemon comes.
        func supervise() throws {
            guard let end = daemon.process.end else { return }
            guard end == .exited(75) || end == .exited(69) else {
                throw LabError("df2redis ended with \(end):\n\(daemon.process.outputTail(lines: 40))")
            }
            daemon = try Daemon(.replicate, configuration, folder: folder)
        }

        func expectEqual() throws {
            let source = try master.client()
            do {
                try waitUntilEqual(timeout: .seconds(90)) {
                    try supervise()
                    return try ServerComparison(source: source, target: cluster).differences
                }
            } catch { throw LabError("\(error)\n\(daemon.process.outputTail(lines: 60))") }
        }
    }

    @Test(.timeLimit(.minutes(10)), arguments: [1, 2, 4])
    func `are equal after kills, failovers, a crashed master and 300 slots moved under load`(_ shards: Int) async throws
    {
        let seed = printedSeed()
        try await onThread {
            let scene = try Scene(shards: shards)
            let (master, cluster) = (scene.master, scene.cluster)
            let writer = try RandomWriter(
                port: master.plainPort, connections: 2, databases: [0], keys: 60, seed: seed)
            try wait(until: "there is something to sync") { writer.commandCount > 2000 }
            try scene.daemon.wait(forLine: "event=stable")
            for round in 0..<3 {
                try cluster.moveHundredSlots(round)
                try scene.restart()
                try cluster.loseMaster(round)
                try scene.supervise()
            }
            let before = writer.commandCount
            try wait(until: "it goes on") { writer.commandCount > before + 3000 }
            try writer.stop()
            try cluster.settle()
            try scene.expectEqual()
            print("\(writer.commandCount) commands of \(shards) shards")
            try scene.daemon.leave(timeout: stopLimit)
            #expect(try ServerComparison(source: master.client(), target: cluster).isEqual)
            #expect(try master.client().command("PING").text == "PONG", "the master lives")
            // The program itself says the same, value by value.
            let check = try scene.daemon.run("check", "--settle", "0.5")
            #expect(check.code == 0 && check.output.hasPrefix("equal: "), "\(check)")
        }
    }
}
