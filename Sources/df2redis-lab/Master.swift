import ArgumentParser
import Lab

/// The kinds of data that the demo and the benches sync.
enum Shape: String, ExpressibleByArgument, CaseIterable {
    /// Strings of one size.
    case string
    /// Strings, lists, sets, hashes and sorted sets in equal parts (and streams from the simulated master); collections
    /// have 10 elements.
    case mixed
}

/// The master of a run: a real Dragonfly if there is one, else the simulated one.
final class Master {
    /// The plaintext port.
    let port: UInt16
    /// The port for replicas, which differs from `port` with TLS.
    let replicaPort: UInt16
    /// The kind of master, for the heading of a report.
    let description: String
    private let stopping: () -> [String]

    /// Starts a master that holds `keys` keys.
    ///
    /// - Parameters:
    ///   - isWritable: whether it must accept commands; the simulated master is faster if it need not.
    ///   - tls: makes `replicaPort` speak TLS.
    init(
        keys: Int, size: Int, shape: Shape, shards: Int = 2, isWritable: Bool, tls: TLSPeer.Options? = nil
    ) throws {
        if DragonflyServer.isAvailable {
            let server = try DragonflyServer(shards: shards, tls: tls)
            let client = try server.client(timeout: .seconds(300))
            try Self.populate(client, keys, size, shape)
            (port, replicaPort) = (server.plainPort, server.port)
            let version = try client.info("server", "dragonfly_version") ?? "of unknown version"
            description = "Dragonfly \(version), \(shards) shards"
            stopping = {
                server.stop()
                return []
            }
        } else {
            let server = try SimulatorProcess(
                [
                    "--shards", "\(shards)", "--keys", "\(keys)", "--size", "\(size)", "--shape", shape.rawValue,
                    "--compression", "lz4",
                ] + (isWritable ? ["--live"] : []))
            let front = try tls.map { try TLSTerminator(to: server.port, $0) }
            (port, replicaPort) = (server.port, front?.port ?? server.port)
            description = "simulated master, \(shards) shards"
            stopping = {
                front?.stop()
                return server.stop()
            }
        }
    }

    /// Ends the master and returns the violations that a simulated one saw the replica commit.
    @discardableResult
    func stop() -> [String] { stopping() }

    private static func populate(_ client: RESPClient, _ keys: Int, _ size: Int, _ shape: Shape) throws {
        if keys == 0 { return }
        switch shape {
        case .string: try client.command("DEBUG", "POPULATE", "\(keys)", "key", "\(size)", "RAND")
        case .mixed:
            try client.command("DEBUG", "POPULATE", "\(keys / 5)", "string", "\(size)", "RAND")
            for type in ["LIST", "SET", "HASH", "ZSET"] {
                try client.command(
                    "DEBUG", "POPULATE", "\(keys / 5)", type.lowercased(), "\(max(size / 10, 1))", "RAND", "TYPE", type,
                    "ELEMENTS", "10")
            }
        }
    }
}
