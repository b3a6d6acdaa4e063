package import Link
package import Wire

/// How to reach a cluster.
package struct ClusterSettings: Sendable {
    /// Members to begin with.
    package var seeds: [Endpoint]
    /// What each connection to a node is opened with; its endpoint is replaced.
    package var target: TargetSettings
    /// From an announced address to the one that it is reached by.
    package var addressMap: [Endpoint: Endpoint] = [:]
    /// Nodes are reached at their TLS ports.
    package var usesTLS: Bool { target.tls != nil }

    package init(seeds: [Endpoint], target: TargetSettings) { (self.seeds, self.target) = (seeds, target) }
}

/// Where a cluster's nodes were when they were last asked: all connectors of a task share it, so that each finds the cluster as
/// long as any node of it is where it was, whatever has become of the seeds.
package final class ClusterNodes: Sendable {
    private let endpoints = Lock<[Endpoint]>([])

    package init() {}

    var all: [Endpoint] { endpoints.withLock { $0 } }

    func learn(_ topology: ClusterTopology) {
        let found = topology.nodes.map(\.endpoint)
        if !found.isEmpty { endpoints.withLock { $0 = found } }
    }
}

/// Knows where a cluster's slots are, and opens connections to its nodes. Each reads the topology itself, by nodes that all of
/// a task know (`ClusterNodes`).
package final class ClusterConnector: Sendable {
    /// A topology, and how many have been read before it.
    package struct View: Equatable, Sendable {
        package var topology: ClusterTopology
        package var generation: Int
    }

    /// Of the connections that ask for the topology, each of which is closed when it has.
    static let topologyRole = "topology"
    /// How long a node may take to answer about the topology before the next one is asked.
    private static let haste = Duration.seconds(1)

    package let settings: ClusterSettings
    private let view = Lock<View?>(nil)
    private let importMode = Lock(false)
    private let databases = Lock<UInt32?>(nil)

    package init(settings: ClusterSettings) { self.settings = settings }

    /// Nodes expire nothing by themselves: as `TargetConnector.usesImportMode`.
    package var usesImportMode: Bool {
        get { importMode.withLock { $0 } }
        set { importMode.withLock { $0 = newValue } }
    }

    /// How many databases the session counts on at each node: as `TargetConnector.databaseCount`.
    package var databaseCount: UInt32? {
        get { databases.withLock { $0 } }
        set { databases.withLock { $0 = newValue } }
    }

    // MARK: Topology

    /// The topology as it was read last; read now, if it never was.
    ///
    /// - Throws: `TargetError`.
    package func current() async throws(TargetError) -> View {
        if let known = view.withLock({ $0 }) { return known }
        return try await refresh(after: 0)
    }

    /// Reads the topology anew, unless somebody has done so since `generation`.
    ///
    /// - Parameter informed: a node that is said to know better than the others.
    /// - Throws: `TargetError`, when no node answers.
    package func refresh(after generation: Int, asking informed: Endpoint? = nil) async throws(TargetError) -> View {
        let known = view.withLock { $0 }
        if let known, known.generation > generation { return known }
        let nodes = settings.target.clusterNodes
        var candidates = informed.map { [$0] } ?? []
        candidates += (known?.topology.nodes.map(\.endpoint) ?? []) + (nodes?.all ?? []) + settings.seeds
        candidates = candidates.enumerated().filter { candidates.firstIndex(of: $0.element) == $0.offset }.map(
            \.element)
        var failures: [TargetError] = []
        // A node that is cut off from the others knows nothing new. But where the cluster is down, all say so.
        var doubtful: ClusterTopology?
        func accept(_ topology: ClusterTopology) -> View {
            nodes?.learn(topology)
            return view.withLock { view in
                let next = View(topology: topology, generation: (view?.generation ?? 0) + 1)
                view = next
                return next
            }
        }
        // A node that hangs holds nobody up as long as another one answers.
        let patience = settings.target.timeout
        let limits = candidates.count > 1 && patience > Self.haste ? [Self.haste, patience] : [patience]
        for (candidate, limit) in limits.flatMap({ limit in candidates.map { ($0, limit) } }) {
            // All have been asked.
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
                // A password that is refused, or a server that is no cluster, no other node mends.
                if !error.isTransient { throw error }
                failures.append(error)
            }
        }
        if let doubtful { return accept(doubtful) }
        let first = failures.first ?? TargetError(.unsuitable, "no node of the cluster is configured")
        throw candidates.count < 2
            ? first : TargetError(first.code, "none of \(candidates.count) nodes of the cluster answers: \(first)")
    }

    /// - Returns: also whether the node counts the cluster as serving.
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

    /// How addresses are read that a node reached at `endpoint` names.
    package func reading(from endpoint: Endpoint) -> ClusterTopology.Reading {
        .init(origin: endpoint, usesTLS: settings.usesTLS, addressMap: settings.addressMap)
    }

    // MARK: Connections

    /// Opens connections to one node. They do not look at the task's owner, whose record may be at another node:
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

    /// Connects to a node, and looks at the owner's record: as `TargetConnector.connect`.
    ///
    /// - Throws: `TargetError`.
    package func connect(
        to endpoint: Endpoint, role: String, replacing: Bool = false
    ) async throws(TargetError) -> RequestConnection {
        try await connect(to: endpoint, role: role, replacing: replacing, asking: []).connection
    }

    /// The same, with the answers to some questions, which change nothing.
    func connect(
        to endpoint: Endpoint, role: String, replacing: Bool, asking questions: [[[UInt8]]]
    ) async throws(TargetError) -> TargetConnector.Opened {
        let opened = try await connector(for: endpoint).connect(role: role, replacing: replacing, asking: questions)
        do throws(TargetError) {
            // After the connection has its name: see `TargetConnector.connect`.
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

    /// - Throws: `TargetError` when another process owns the task.
    private func checkOwner() async throws(TargetError) {
        guard let owner = settings.target.owner else { return }
        try owner.check(try await ask("GET", owner.key).text)
    }

    /// A request about one key, wherever it is now.
    ///
    /// - Throws: `TargetError`, for an error reply too.
    package func ask(_ name: String, _ key: String, _ rest: String...) async throws(TargetError) -> RESPValue {
        let slot = KeySlot(of: key)
        let words = ([name, key] + rest).map { Array($0.utf8) }
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

    /// A request at one node, on a connection of its own.
    ///
    /// - Parameter isAsking: the slot of its key is on its way to this node.
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
