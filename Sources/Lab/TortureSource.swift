import DragonflySimulator
import Glibc
import Wire

/// The master of a torture: a real Dragonfly, or the simulated one in this process.
package final class TortureSource {
    /// Which of a replica's connections to the master are cut.
    enum Cut: String, CaseIterable {
        case allFlows, oneFlow, main
    }

    private enum Server {
        case real(DragonflyServer)
        case simulated(SimulatedMaster)
    }

    private let server: Server
    private let shards: Int
    package let port: UInt16
    package let description: String

    /// - Parameter isReal: whether to start a real Dragonfly, which DRAGONFLY_BIN must name.
    package init(shards: Int, isReal: Bool) throws {
        self.shards = shards
        if isReal {
            let server = try DragonflyServer(shards: shards)
            self.server = .real(server)
            port = server.port
            let version = try server.client().info("server", "dragonfly_version") ?? "of unknown version"
            description = "Dragonfly \(version), \(shards) shards"
        } else {
            var options = MasterOptions()
            options.shardCount = shards
            let master = try SimulatedMaster(.live(SyntheticDataSet(keys: 0)), options: options)
            server = .simulated(master)
            port = try master.start()
            description = "simulated master, \(shards) shards"
        }
    }

    /// The process that the master runs in.
    var pid: Int32 {
        switch server {
        case .real(let server): server.pid
        case .simulated: getpid()
        }
    }

    package func client() throws -> RESPClient { try RESPClient(port: port) }

    /// Cuts connections of the replica; the master keeps its buffer of records.
    func cut(_ cut: Cut) throws {
        switch server {
        case .simulated(let master):
            switch cut {
            case .allFlows: for flow in 0..<shards { master.cut(.flow(flow), byReset: false) }
            case .oneFlow: master.cut(.flow(0), byReset: true)
            case .main: master.cut(.main, byReset: false)
            }
        case .real(let server):
            let client = try server.client()
            let list = try client.command("CLIENT", "LIST").text ?? ""
            var ids: [String] = []
            for line in list.split(separator: "\n") {
                let words = line.split(separator: " ").map(String.init)
                func field(_ name: String) -> String? {
                    words.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.count + 1)) }
                }
                guard let id = field("id"), let name = field("name") else { continue }
                let isFlow = name.hasPrefix("repl_flow_")
                let matches =
                    switch cut {
                    case .allFlows: isFlow
                    case .oneFlow: name == "repl_flow_0"
                    case .main: name.hasPrefix("repl_ctrl")
                    }
                if matches { ids.append(id) }
            }
            for id in ids { _ = try client.send(["CLIENT", "KILL", "ID", id].map { Array($0.utf8) }) }
        }
    }

    /// Ends the master and returns the violations that a simulated one saw.
    @discardableResult
    package func stop() -> [String] {
        switch server {
        case .real(let server):
            server.stop()
            return []
        case .simulated(let master):
            master.stop()
            return master.violations
        }
    }
}
