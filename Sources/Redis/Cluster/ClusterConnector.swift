package import Link
package import Wire

/// How to reach a cluster.
package struct ClusterSettings: Sendable {
    /// The members that are asked first.
    package var seeds: [Endpoint]
    /// The settings for each connection to a node; only the endpoint is replaced.
    package var target: TargetSettings
    /// Maps an announced address to the address at which the node can be reached.
    package var addressMap: [Endpoint: Endpoint] = [:]
    /// Whether nodes are reached at their TLS ports.
    package var usesTLS: Bool { target.tls != nil }

    package init(seeds: [Endpoint], target: TargetSettings) { (self.seeds, self.target) = (seeds, target) }
}

/// The addresses of a cluster's nodes when they were last read.
///
/// All connectors of a task share this list. So each connector finds the cluster as long as at least one node still has its
/// address, even if no seed answers any more.
package final class ClusterNodes: Sendable {
    private let endpoints = Lock<[Endpoint]>([])

    package init() {}

    var all: [Endpoint] { endpoints.withLock { $0 } }

    func learn(_ topology: ClusterTopology) {
        let found = topology.nodes.map(\.endpoint)
        if !found.isEmpty { endpoints.withLock { $0 = found } }
    }
}

/// Knows which node serves which slot, and opens connections to the nodes.
///
/// Each connector reads the topology itself. All connectors of a task share the addresses of the nodes (`ClusterNodes`).
package final class ClusterConnector: Sendable {
    /// A topology, and the number of the read that returned it.
    package struct View: Equatable, Sendable {
        package var topology: ClusterTopology
        package var generation: Int
    }

    /// The role of connections that only ask for the topology and are closed afterwards.
    static let topologyRole = "topology"
    /// How long a node may take to answer about the topology before the next one is asked.
    private static let haste = Duration.seconds(1)

    package let settings: ClusterSettings
    private let view = Lock<View?>(nil)
    private let importMode = Lock(false)
    private let databases = Lock<UInt32?>(nil)

    package init(settings: ClusterSettings) { self.settings = settings }

    /// Whether nodes are stopped from expiring keys by themselves, as in `TargetConnector.usesImportMode`.
    package var usesImportMode: Bool {
        get { importMode.withLock { $0 } }
        set { importMode.withLock { $0 = newValue } }
    }

    /// The number of databases that the session expects at each node, as in `TargetConnector.databaseCount`.
    package var databaseCount: UInt32? {
        get { databases.withLock { $0 } }
        set { databases.withLock { $0 = newValue } }
    }

    // MARK: Topology

    /// Returns the topology that was read last, or reads it if none has been read yet.
    ///
    /// - Throws: `TargetError`.
    package func current() async throws(TargetError) -> View {
        if let known = view.withLock({ $0 }) { return known }
        return try await refresh(after: 0)
    }

    /// Reads the topology anew, unless somebody has done so since `generation`.
    ///
    /// - Parameter informed: a node that is said to know better than the others, and is asked first.
    /// - Throws: `TargetError` if no node answers.
    package func refresh(after generation: Int, asking informed: Endpoint? = nil) async throws(TargetError) -> View {
        let known = view.withLock { $0 }
        if let known, known.generation > generation { return known }
        let nodes = settings.target.clusterNodes
        var candidates = informed.map { [$0] } ?? []
        candidates += (known?.topology.nodes.map(\.endpoint) ?? []) + (nodes?.all ?? []) + settings.seeds
        candidates = candidates.enumerated().filter { candidates.firstIndex(of: $0.element) == $0.offset }.map(
            \.element)
        var failures: [TargetError] = []
        // A node that is cut off from the others knows nothing new, so another one is asked. If the cluster is down, all say
        // so.
        var doubtful: ClusterTopology?
        func accept(_ topology: ClusterTopology) -> View {
            nodes?.learn(topology)
            return view.withLock { view in
                let next = View(topology: topology, generation: (view?.generation ?? 0) + 1)
                view = next
                return next
            }
        }
        // A node that hangs delays nobody as long as another one answers.
        let patience = settings.target.timeout
        let limits = candidates.count > 1 && patience > Self.haste ? [Self.haste, patience] : [patience]
        for (candidate, limit) in limits.flatMap({ limit in candidates.map { ($0, limit) } }) {
            // All nodes have been asked.
            if let doubtful, limit != limits[0] { return accept(doubtful) }
            do throws(TargetError) {
                let (topology, isServing) = try await read(at: candidate, within: limit)
                // A node that has been taken out of the cluster knows of no slots.
                if topology.masters.isEmpty {
                    throw TargetError(.notReady, "the cluster's node \(candidate) knows no node that serves slots")
                }
                if isServing { return accept(topology) }
                doubtful = doubtful ?? topology
            } catch {
                // No other node helps if a password is refused or the server is not in cluster mode.
                if !error.isTransient { throw error }
                failures.append(error)
            }
        }
        if let doubtful { return accept(doubtful) }
        let first = failures.first ?? TargetError(.unsuitable, "no node of the cluster is configured")
        throw candidates.count < 2
            ? first : TargetError(first.code, "none of \(candidates.count) nodes of the cluster answers: \(first)")
    }

    /// - Returns: the topology, and whether the node considers the cluster to be serving.
    private func read(
        at endpoint: Endpoint, within limit: Duration
    ) async throws(TargetError) -> (ClusterTopology, isServing: Bool) {
        let connection = try await connector(for: endpoint, timeout: limit).connect(role: Self.topologyRole)
        do {
            let topology = try await read(on: connection, within: limit)
            let info = try await connection.request("CLUSTER", "INFO", timeout: limit).text
            await connection.close()
            return (topology, info?.contains("cluster_state:fail") != true)
        } catch {
            await connection.close()
            throw TargetError(error)
        }
    }

    private func read(on connection: RequestConnection, within timeout: Duration) async throws -> ClusterTopology {
        let reading = reading(from: connection.endpoint)
        let shards = try await connection.request("CLUSTER", "SHARDS", timeout: timeout)
        if let topology = ClusterTopology(shards: shards, reading) { return topology }
        let slots = try await connection.request("CLUSTER", "SLOTS", timeout: timeout)
        if let topology = ClusterTopology(slots: slots, reading) { return topology }
        let text = slots.errorText ?? shards.errorText ?? "it is no list of slots"
        if text.contains("cluster support disabled") {
            throw TargetError(
                .unsuitable, "the target \(connection.endpoint) is no cluster node: set target.type: standalone")
        }
        throw TargetError.reply(text, to: "CLUSTER SLOTS")
    }

    /// How to read addresses that the node at `endpoint` announces.
    package func reading(from endpoint: Endpoint) -> ClusterTopology.Reading {
        .init(origin: endpoint, usesTLS: settings.usesTLS, addressMap: settings.addressMap)
    }

    // MARK: Connections

    /// Opens connections to one node. These connections do not check the task's owner, whose record may be at another node;
    /// `connect(to:)` does.
    package func connector(for endpoint: Endpoint, timeout: Duration? = nil) -> TargetConnector {
        var target = TargetSettings(
            endpoint: endpoint, user: settings.target.user, password: settings.target.password,
            clientName: settings.target.clientName)
        target.readPassword = settings.target.readPassword
        target.tls = settings.target.tls
        target.timeout = timeout ?? settings.target.timeout
        target.passwordOrigin = settings.target.passwordOrigin
        target.isClusterNode = true
        target.isSeed = settings.seeds.contains(endpoint)
        var connector = TargetConnector(settings: target)
        connector.usesImportMode = usesImportMode
        connector.databaseCount = databaseCount
        return connector
    }

    /// Connects to a node and checks the owner's record, like `TargetConnector.connect`.
    ///
    /// - Throws: `TargetError`.
    package func connect(
        to endpoint: Endpoint, role: String, replacing: Bool = false
    ) async throws(TargetError) -> RequestConnection {
        try await connect(to: endpoint, role: role, replacing: replacing, asking: []).connection
    }

    /// Connects in the same way, and asks some questions that change nothing.
    func connect(
        to endpoint: Endpoint, role: String, replacing: Bool, asking questions: [[[UInt8]]]
    ) async throws(TargetError) -> TargetConnector.Opened {
        let opened = try await connector(for: endpoint).connect(role: role, replacing: replacing, asking: questions)
        do throws(TargetError) {
            // The check follows after the connection has got its name: see `TargetConnector.connect`.
            try await checkOwner()
            return opened
        } catch {
            await opened.connection.close()
            throw error
        }
    }

    /// Connects to the master of a slot.
    package func connect(
        to slot: KeySlot, role: String, replacing: Bool = false
    ) async throws(TargetError) -> RequestConnection {
        try await connect(to: master(of: slot, in: current()).endpoint, role: role, replacing: replacing)
    }

    package func master(of slot: KeySlot, in view: View) throws(TargetError) -> ClusterTopology.Node {
        if let node = view.topology.master(of: slot) { return node }
        throw TargetError(
            .notReady, "no node of the cluster serves slot \(slot): \(view.topology.uncovered) slots are not covered")
    }

    /// - Throws: `TargetError` if another process owns the task.
    private func checkOwner() async throws(TargetError) {
        guard let owner = settings.target.owner else { return }
        try owner.check(try await ask("GET", owner.key).text)
    }

    /// Sends a request about one key to the node that has the key now.
    ///
    /// - Throws: `TargetError`, also for an error reply.
    package func ask(_ name: String, _ key: String, _ rest: String...) async throws(TargetError) -> RESPValue {
        let slot = KeySlot(of: key)
        let words = ([name, key] + rest).map(\.bytes)
        var view = try await current()
        var destination: Endpoint?
        var attempt = 0
        while true {
            attempt += 1
            let isAsking = destination != nil
            let endpoint: Endpoint
            if let destination { endpoint = destination } else { endpoint = try master(of: slot, in: view).endpoint }
            destination = nil
            let reply: RESPValue
            do throws(TargetError) {
                reply = try await request(words, at: endpoint, isAsking: isAsking, role: "owner-check")
            } catch {
                guard error.isTransient, attempt < 3 else { throw error }
                view = try await refresh(after: view.generation)
                continue
            }
            guard let text = reply.errorText else { return reply }
            switch ClusterRedirection(text, reading(from: endpoint)) {
            case .moved(_, let informed)? where attempt < 3:
                view = try await refresh(after: view.generation, asking: informed)
            case .ask(_, let place?)? where attempt < 3: destination = place
            default: throw TargetError.reply(text, to: name, key: key)
            }
        }
    }

    /// Sends a request to one node on a connection of its own.
    ///
    /// - Parameter isAsking: whether the key's slot is being moved to this node, so that the request needs `ASKING`.
    /// - Returns: the reply, which may be an error.
    package func request(
        _ words: [[UInt8]], at endpoint: Endpoint, isAsking: Bool, role: String
    ) async throws(TargetError) -> RESPValue {
        let connection = try await connector(for: endpoint).connect(role: role)
        do {
            let timeout = settings.target.timeout
            if isAsking { _ = try await connection.request("ASKING", timeout: timeout) }
            let reply = try await connection.request(words, timeout: timeout)
            await connection.close()
            return reply
        } catch {
            await connection.close()
            throw TargetError(error)
        }
    }
}
