import ArgumentParser
import Lab
import Wire

/// The target of the demo and the benches: a single server, or a cluster of three masters.
final class Destination {
    enum Kind: String, CaseIterable, ExpressibleByArgument {
        case standalone, cluster
    }

    private enum Servers {
        case standalone(RedisServer)
        case cluster(RedisCluster)
    }

    let kind: Kind
    private let servers: Servers
    /// The proxy between df2redis and a single server that is far away.
    private let proxy: TCPProxy?
    /// One connection to each master, for figures.
    private let clients: [RESPClient]

    /// - Parameters:
    ///   - replicas: the number of replicas of each master of a cluster.
    ///   - tls: makes it speak TLS, too, on `tlsPort`.
    ///   - distance: the round-trip time through a proxy to a single server, in milliseconds; `nil` for no proxy.
    init(_ kind: Kind, replicas: Int = 0, tls: TLSPeer.Options? = nil, distance: Int? = nil) throws {
        self.kind = kind
        switch kind {
        case .standalone:
            let server = try RedisServer(tls: tls)
            servers = .standalone(server)
            clients = [try server.client()]
            // Without a delay, the proxy would relay bytes in another way.
            proxy = try distance.map {
                try TCPProxy(to: server.port, delay: max(.milliseconds($0) / 2, .microseconds(1)))
            }
        case .cluster:
            let cluster = try RedisCluster(replicas: replicas, tls: tls)
            servers = .cluster(cluster)
            proxy = nil
            clients = try cluster.masters().map { try $0.client() }
        }
    }

    var port: UInt16 {
        switch servers {
        case .standalone(let server): server.port
        case .cluster(let cluster): cluster.nodes[0].port
        }
    }

    /// The single server; `nil` for a cluster.
    var server: RedisServer? {
        if case .standalone(let server) = servers { server } else { nil }
    }

    var tlsPort: UInt16? {
        switch servers {
        case .standalone(let server): server.tlsPort
        case .cluster(let cluster): cluster.nodes[0].tlsPort
        }
    }

    /// Returns the configuration of a daemon that replicates from `source` into this target.
    ///
    /// - Parameter sections: lines to add, by section.
    func configuration(source: UInt16, sections: [String: [String]] = [:]) -> Daemon.Configuration {
        var sections = sections
        if kind == .cluster { sections["target", default: []].append("type: cluster") }
        return .init(source: source, target: proxy?.port ?? tlsPort ?? port, sections: sections)
    }

    /// The databases that can hold keys.
    var databases: [Int] { kind == .cluster ? [0] : [0, 3] }

    func describe() throws -> String {
        let client = clients[0]
        let name =
            if let version = try client.info("server", "valkey_version") {
                "Valkey \(version)"
            } else {
                "Redis \(try client.info("server", "redis_version") ?? "")"
            }
        return kind == .cluster ? "\(name), a cluster of \(clients.count) masters" : name
    }

    /// The number of bytes that the masters have received.
    func inputBytes() throws -> Int {
        try clients.reduce(0) { try $0 + ($1.info("stats", "total_net_input_bytes").flatMap { Int($0) } ?? 0) }
    }

    /// The number of keys in all databases, including df2redis's own.
    func keyCount() throws -> Int { try clients.reduce(0) { try $0 + DataReader($1).keyCount() } }

    func exists(_ key: String) throws -> Bool {
        switch servers {
        case .standalone: try clients[0].command("EXISTS", key).int == 1
        case .cluster(let cluster): try cluster.command(["EXISTS", key], key: key).int == 1
        }
    }

    func compare(with source: RESPClient) throws -> ServerComparison {
        switch servers {
        case .standalone: try ServerComparison(source: source, target: clients[0])
        case .cluster(let cluster): try ServerComparison(source: source, target: cluster)
        }
    }

    func stop() {
        proxy?.stop()
        switch servers {
        case .standalone(let server): server.stop()
        case .cluster(let cluster): cluster.stop()
        }
    }
}
