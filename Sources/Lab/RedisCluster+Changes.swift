import Wire

/// Changes that operators and accidents make to a cluster.
extension RedisCluster {
    package enum Failover: String, CaseIterable, Sendable {
        /// Coordinated with the master; no write is lost.
        case orderly = ""
        /// Elected by the other masters, without the master's cooperation.
        case forced = "FORCE"
        /// Decided by the replica alone.
        case takeover = "TAKEOVER"
    }

    /// The running replicas of a node.
    package func replicas(of master: Node) throws -> [Node] {
        try view().nodes.filter { $0.masterID == master.id }.compactMap { node($0.id) }.filter(\.server.isRunning)
    }

    /// Promotes a replica of `master` in its place, and waits until the replica is the master.
    ///
    /// - Returns: the new master.
    @discardableResult
    package func failOver(_ master: Node, _ kind: Failover = .orderly) throws -> Node {
        guard let replica = try replicas(of: master).first else {
            throw LabError("\(master.address) has no replica that runs")
        }
        let client = try replica.client()
        try client.command(["CLUSTER", "FAILOVER"] + (kind == .orderly ? [] : [kind.rawValue]))
        try waitUntilMaster(replica, client)
        return replica
    }

    /// Waits until the cluster itself has promoted a replica in the place of `master`, which is down.
    ///
    /// - Returns: the new master.
    @discardableResult
    package func waitForSuccessor(of master: Node, timeout: Duration = .seconds(30)) throws -> Node {
        guard let replica = try replicas(of: master).first else {
            throw LabError("\(master.address) has no replica that runs")
        }
        try waitUntilMaster(replica, replica.client(), timeout: timeout)
        return replica
    }

    private func waitUntilMaster(_ node: Node, _ client: RESPClient, timeout: Duration = .seconds(30)) throws {
        try wait(until: "\(node.address) is a master", timeout: timeout) {
            try client.info("replication", "role") == "master"
                && ClusterView(client).nodes.first { $0.id == node.id }?.slots.isEmpty == false
        }
    }

    /// Moves slots with all their keys from one master to another, as `redis-cli --cluster reshard` does, while clients
    /// continue to write.
    package func moveSlots(_ slots: some Sequence<Int>, from source: Node, to destination: Node) throws {
        let (from, to) = (try source.client(), try destination.client())
        let others = try masters().filter { $0 !== source && $0 !== destination }.map { try $0.client() }
        for slot in slots {
            try to.command("CLUSTER", "SETSLOT", "\(slot)", "IMPORTING", source.id)
            try from.command("CLUSTER", "SETSLOT", "\(slot)", "MIGRATING", destination.id)
            repeat {
                for database in try DataReader(from).databases() {
                    try moveKeys(of: slot, in: database, from: from, to: destination.tlsPort ?? destination.server.port)
                }
                // The destination is told first; otherwise nobody would serve the slot for a moment.
                try to.command("CLUSTER", "SETSLOT", "\(slot)", "NODE", destination.id)
            } while try !isHandedOver(slot, from, destination.id)
            for other in others { _ = try? other.command("CLUSTER", "SETSLOT", "\(slot)", "NODE", destination.id) }
        }
    }

    /// - Returns: `false` if keys have arrived in the slot meanwhile.
    private func isHandedOver(_ slot: Int, _ source: RESPClient, _ id: String) throws -> Bool {
        let reply = try source.send(["CLUSTER", "SETSLOT", "\(slot)", "NODE", id].map { Array($0.utf8) })
        guard case .error(let text) = reply else { return true }
        guard text.contains("still hold keys") else { throw LabError("CLUSTER SETSLOT \(slot): \(text)") }
        return false
    }

    private func moveKeys(of slot: Int, in database: Int, from source: RESPClient, to port: UInt16) throws {
        if database > 0 { try source.command("SELECT", "\(database)") }
        defer { if database > 0 { _ = try? source.command("SELECT", "0") } }
        while true {
            let keys = try source.command("CLUSTER", "GETKEYSINSLOT", "\(slot)", "100").array?.compactMap(\.bytes) ?? []
            if keys.isEmpty { return }
            let head = ["MIGRATE", "127.0.0.1", "\(port)", "", "\(database)", "10000", "KEYS"].map { Array($0.utf8) }
            let reply = try source.send(head + keys)
            if case .error(let text) = reply { throw LabError("MIGRATE of slot \(slot): \(text)") }
        }
    }

    /// Opens a slot for a move and leaves it open: ASK redirects its next keys to `destination`.
    package func beginMoving(_ slot: Int, from source: Node, to destination: Node) throws {
        try destination.client().command("CLUSTER", "SETSLOT", "\(slot)", "IMPORTING", source.id)
        try source.client().command("CLUSTER", "SETSLOT", "\(slot)", "MIGRATING", destination.id)
    }

    /// Moves the keys of an open slot to `destination`; the slot stays open.
    package func moveKeys(of slot: Int, from source: Node, to destination: Node) throws {
        try moveKeys(
            of: slot, in: 0, from: source.client(), to: destination.tlsPort ?? destination.server.port)
    }

    /// How many connections all nodes have accepted so far.
    package func acceptedConnections() throws -> Int {
        try runningNodes.reduce(0) {
            $0 + (Int(try $1.client().info("stats", "total_connections_received") ?? "") ?? 0)
        }
    }

    /// Closes the slots that an interrupted move has left open.
    package func closeOpenSlots() throws {
        for node in runningNodes {
            let client = try node.client()
            let text = try client.command("CLUSTER", "NODES").text ?? ""
            let own = text.split(separator: "\n").first { $0.contains("myself") } ?? ""
            for word in own.split(separator: " ") where word.hasPrefix("[") {
                let slot = word.dropFirst().prefix(while: \.isNumber)
                _ = try? client.command("CLUSTER", "SETSLOT", String(slot), "STABLE")
            }
        }
    }
}
