import Foundation
package import Wire

/// A real Redis (or Valkey) Cluster on 127.0.0.1: masters, and replicas of each.
///
/// Plain commands join the nodes and assign the slots; nothing outlives the nodes. `REDIS_SERVER` or `VALKEY_SERVER`
/// names another binary, `binary` one for this cluster.
package final class RedisCluster {
    /// A server of the cluster, at present a master or a replica.
    package final class Node {
        package let server: RedisServer
        /// The node's id of 40 hex digits, which a restart keeps.
        package fileprivate(set) var id = ""
        /// The proxy through which clients and replicas reach the node, if the cluster was created with proxies.
        package let proxy: TCPProxy?
        fileprivate let busPort: UInt16

        fileprivate init(server: RedisServer, proxy: TCPProxy?, busPort: UInt16) {
            (self.server, self.proxy, self.busPort) = (server, proxy, busPort)
        }

        /// The port that the cluster announces.
        package var port: UInt16 { proxy?.port ?? server.port }
        /// The port that speaks TLS, if the cluster was created with TLS.
        package var tlsPort: UInt16? { server.tlsPort }
        package var address: String { "127.0.0.1:\(port)" }

        /// Opens a connection that bypasses the proxy.
        package func client(timeout: Duration = .seconds(30)) throws -> RESPClient {
            try server.client(timeout: timeout)
        }

        /// Cuts the node off from clients and replicas. The other nodes still reach it, so no replica takes its place.
        package func cutOff() { proxy?.redirect(to: 1) }
        package func reconnect() { proxy?.redirect(to: server.port) }
    }

    package static let slotCount = 16384

    package let nodes: [Node]

    /// Starts the cluster and waits until every node serves and every replica follows its master.
    ///
    /// - Parameters:
    ///   - replicas: the number of replicas of each master.
    ///   - arguments: further options of each node.
    ///   - nodeTimeout: the time after which a replica replaces a node that does not answer.
    ///   - tls: makes the nodes speak TLS, too, on other ports.
    ///   - usesProxies: makes each node announce a proxy, by which it can be cut off.
    package init(
        masters: Int = 3, replicas: Int = 1, _ arguments: [String] = [], nodeTimeout: Duration = .milliseconds(1500),
        usesProxies: Bool = false, binary: String? = nil, tls: TLSPeer.Options? = nil
    ) throws {
        let milliseconds = Int(nodeTimeout.seconds * 1000)
        nodes = try (0..<masters * (1 + replicas)).map { _ in
            let proxy = usesProxies ? try TCPProxy(to: 1) : nil
            let busPort = try freePort()
            let fixed =
                [
                    "--cluster-enabled", "yes", "--cluster-port", "\(busPort)", "--cluster-node-timeout",
                    "\(milliseconds)", "--cluster-config-file", "nodes.conf", "--cluster-replica-validity-factor", "0",
                    "--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0",
                ] + (proxy.map { ["--cluster-announce-port", "\($0.port)"] } ?? [])
                // A node announces its TLS port only if the nodes use TLS among themselves.
                + (tls == nil ? [] : ["--tls-cluster", "yes", "--tls-replication", "yes"])
            let server = try RedisServer(fixed + arguments, binary: binary, tls: tls)
            proxy?.redirect(to: server.port)
            return Node(server: server, proxy: proxy, busPort: busPort)
        }
        try join(masters: masters)
    }

    private func join(masters: Int) throws {
        let clients = try nodes.map { try $0.client() }
        for (index, (node, client)) in zip(nodes, clients).enumerated() {
            node.id = try client.command("CLUSTER", "MYID").text ?? ""
            try client.command("CLUSTER", "SET-CONFIG-EPOCH", "\(index + 1)")
            if index < masters {
                let slots = (Self.slotCount * index / masters)..<(Self.slotCount * (index + 1) / masters)
                try client.command("CLUSTER", "ADDSLOTSRANGE", "\(slots.lowerBound)", "\(slots.upperBound - 1)")
            }
            if index > 0 {
                let port = node.tlsPort ?? node.server.port
                try clients[0].command("CLUSTER", "MEET", "127.0.0.1", "\(port)", "\(node.busPort)")
            }
        }
        try wait(until: "the cluster's nodes know each other") {
            try clients.allSatisfy { client in
                let known = try ClusterView(client).nodes
                return known.count == nodes.count && known.allSatisfy(\.isLinked)
            }
        }
        for index in masters..<max(masters, nodes.count) {
            try clients[index].command("CLUSTER", "REPLICATE", nodes[index % masters].id)
        }
        try settle()
    }

    /// Ends all nodes.
    package func stop() {
        for node in nodes { node.server.kill() }
        for node in nodes { node.proxy?.stop() }
    }

    deinit { stop() }

    // MARK: What the cluster says

    package var runningNodes: [Node] { nodes.filter(\.server.isRunning) }

    package func node(_ id: String) -> Node? { nodes.first { $0.id == id } }

    /// The cluster as a running node sees it.
    package func view() throws -> ClusterView {
        var failure: any Error = LabError("no node of the cluster runs")
        for node in runningNodes {
            do { return try ClusterView(node.client(timeout: .seconds(2))) } catch { failure = error }
        }
        throw failure
    }

    /// The nodes that serve slots, in the order of their slots.
    package func masters() throws -> [Node] { try view().masters.compactMap { node($0.id) } }

    /// The node that serves the slot of `key`.
    package func master(of key: String) throws -> Node {
        let slot = ClusterSlot.of(Array(key.utf8))
        guard let id = try view().owner(of: slot), let node = node(id) else {
            throw LabError("nobody serves slot \(slot)")
        }
        return node
    }

    /// Sends a command to the node that serves `key`.
    @discardableResult
    package func command(_ words: [String], key: String) throws -> RESPValue {
        try master(of: key).client().command(words)
    }

    /// Waits until all running nodes agree on the owners of the slots, every slot is served, and every replica follows
    /// its master.
    package func settle(timeout: Duration = .seconds(60)) throws {
        try wait(until: "the cluster is whole and of one mind", timeout: timeout, every: .milliseconds(50)) {
            (try? isSettled()) == true
        }
    }

    private func isSettled() throws -> Bool {
        var owners: [String]?
        var roles: [String]?
        for node in runningNodes {
            let client = try node.client(timeout: .seconds(2))
            guard try client.clusterState() == "ok" else { return false }
            let view = try ClusterView(client)
            let seen = (0..<Self.slotCount).map { view.owner(of: $0) ?? "" }
            if seen.contains("") || owners.map({ $0 != seen }) == true { return false }
            owners = seen
            // All nodes must agree on the master of each replica; otherwise a caller might find no replica of a master.
            let masters = view.nodes.map { "\($0.id) \($0.masterID ?? "")" }.sorted()
            if roles.map({ $0 != masters }) == true { return false }
            roles = masters
            let isReplica = try client.info("replication", "role") == "slave"
            guard view.nodes.first(where: { $0.id == node.id })?.isMaster == !isReplica else { return false }
            if isReplica, try client.info("replication", "master_link_status") != "up" { return false }
        }
        return owners != nil
    }
}

extension RESPClient {
    /// The state of the cluster in the server's view: `ok` or `fail`.
    package func clusterState() throws -> String? {
        let lines = try command("CLUSTER", "INFO").text?.split(whereSeparator: \.isNewline) ?? []
        return lines.first { $0.hasPrefix("cluster_state:") }.map { String($0.dropFirst("cluster_state:".count)) }
    }
}
