import Foundation
import Wire

/// A master, its replica, and three sentinels that watch them: real servers on 127.0.0.1.
package final class SentinelGroup {
    package let name = "mymaster"
    /// The two servers; which of them is the master changes.
    package private(set) var servers: [RedisServer] = []
    package private(set) var sentinels: [Sentinel] = []
    private let password: String?

    /// One sentinel.
    package final class Sentinel {
        package let port: UInt16
        fileprivate let process: ChildProcess
        private let folder: TemporaryFolder
        private let tls: TLSPeer.Options?

        fileprivate init(_ lines: [String], tls: TLSPeer.Options?, binary: String) throws {
            let folder = try TemporaryFolder("sentinel")
            self.tls = tls
            (port, process) = try withFreePort { port in
                let port = port
                let ports =
                    tls.map {
                        [
                            "port 0", "tls-port \(port)", "tls-cert-file \($0.files.certificate)",
                            "tls-key-file \($0.files.key)",
                            "tls-ca-cert-file \($0.clientAuthority ?? $0.files.certificate)", "tls-auth-clients no",
                        ]
                    } ?? ["port \(port)"]
                let head = ["bind 127.0.0.1", "dir \(folder.path)", "daemonize no", "protected-mode no"]
                let path = try folder.write((head + ports + lines).joined(separator: "\n") + "\n", to: "sentinel.conf")
                let process = try ChildProcess(
                    binary, [path, "--sentinel"], output: folder.file("sentinel.log"))
                if tls == nil {
                    try waitUntilAnswering(process, port) { _ = try $0.send([Array("PING".utf8)]) }
                } else {
                    try wait(until: "the sentinel runs") { process.output.contains("Sentinel ID is") }
                }
                return (port, process)
            }
            self.folder = folder
        }

        deinit { process.kill() }

        package func client() throws -> RESPClient { try RESPClient(port: port) }
        package func pause() { process.pause() }
        package func resume() { process.resume() }
        package func kill() { process.kill() }
        package var log: String { process.output }
    }

    /// - Parameters:
    ///   - password: the password of the sentinels.
    ///   - tls: makes the sentinels speak TLS only.
    ///   - serverTLS: makes the servers speak TLS, too; among themselves and to the sentinels they use only TLS.
    /// Without it, sentinels with TLS do not know each other.
    ///   - binary: the program of servers and sentinels.
    package init(
        downAfterMilliseconds: Int = 2500, password: String? = nil, tls: TLSPeer.Options? = nil,
        serverTLS: TLSPeer.Options? = nil, binary: String? = nil
    ) throws {
        self.password = password
        let encrypted = serverTLS == nil ? [] : ["--tls-replication", "yes"]
        let master = try RedisServer(encrypted, binary: binary, tls: serverTLS)
        let place = "127.0.0.1 \(master.tlsPort ?? master.port)"
        let replica = try RedisServer(
            encrypted + ["--replicaof", place, "--repl-diskless-sync-delay", "0"], binary: binary, tls: serverTLS)
        servers = [master, replica]
        var lines = serverTLS == nil ? [] : ["tls-replication yes"]
        lines += [
            "sentinel monitor \(name) \(place) 2",
            "sentinel down-after-milliseconds \(name) \(downAfterMilliseconds)",
            "sentinel failover-timeout \(name) 10000",
        ]
        if let password { lines += ["requirepass \(password)", "sentinel sentinel-pass \(password)"] }
        for _ in 0..<3 { sentinels.append(try Sentinel(lines, tls: tls, binary: binary ?? "redis-server")) }
        try wait(until: "the replica follows") {
            try replica.client().info("replication", "master_link_status") == "up"
        }
        if tls == nil {
            try wait(until: "the sentinels know each other") { try sentinels.allSatisfy { try knowsAll($0) } }
        } else if serverTLS != nil {
            // Sentinels with TLS cannot be asked in plaintext, so their logs are read.
            try wait(until: "the sentinels know each other") {
                sentinels.allSatisfy {
                    $0.log.components(separatedBy: "+sentinel sentinel").count > 2 && $0.log.contains("+slave slave")
                }
            }
        }
    }

    private func knowsAll(_ sentinel: Sentinel) throws -> Bool {
        let client = try sentinel.client()
        if let password { try client.command("AUTH", password) }
        let words = try client.command("SENTINEL", "MASTER", name).array ?? []
        func field(_ name: String) -> String? {
            words.firstIndex { $0.text == name }.flatMap { $0 + 1 < words.count ? words[$0 + 1].text : nil }
        }
        return field("num-other-sentinels") == "2" && field("num-slaves") == "1"
    }

    /// The server that says it is the master; `nil` if none or both do.
    package var master: RedisServer? {
        let masters = servers.filter { (try? $0.client(timeout: .seconds(1)).info("replication", "role")) == "master" }
        return masters.count == 1 ? masters[0] : nil
    }

    package func failover() throws {
        let client = try sentinels[0].client()
        if let password { try client.command("AUTH", password) }
        try client.command("SENTINEL", "FAILOVER", name)
    }

    package func stop() {
        for sentinel in sentinels { sentinel.kill() }
        for server in servers {
            server.resume()
            server.stop()
        }
    }

    /// The lines about the sentinels in the section of a configuration.
    package func section(_ more: [String] = []) -> [String] {
        let addresses = sentinels.map { "\"127.0.0.1:\($0.port)\"" }.joined(separator: ", ")
        return ["sentinel:", "  master: \(name)", "  addrs: [\(addresses)]"] + more.map { "  " + $0 }
    }
}
