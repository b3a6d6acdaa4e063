import Link
import Wire

/// The servers that get df2redis' own requests: the one server of a standalone target, or the masters of a cluster.
///
/// In a cluster, a request about a key goes to the node that serves its slot and follows redirections. A request about
/// everything goes to each master.
final class TargetServers: Sendable {
    /// How often a request is sent before its error is reported. (A slot is handed over in one step.)
    private static let attempts = 8
    private static let pause = Duration.milliseconds(50)

    let connector: TargetConnector
    private let role: String
    private let replacement: TargetRequests.Replacement
    private let single: TargetRequests
    private let nodes = Lock<[Endpoint: TargetRequests]>([:])

    init(_ connector: TargetConnector, role: String, replacement: TargetRequests.Replacement) {
        (self.connector, self.role, self.replacement) = (connector, role, replacement)
        single = TargetRequests(timeout: connector.settings.timeout, replacement: replacement) {
            (replacing, questions) throws(TargetError) in
            try await connector.connect(role: role, replacing: replacing, asking: questions)
        }
    }

    /// The cluster; `nil` for a single server.
    var cluster: ClusterConnector? { connector.cluster }

    /// One server of the target.
    struct Server: Sendable {
        var requests: TargetRequests
        /// Opens further connections to the server.
        var connector: TargetConnector
        /// Whether the slots of the requested keys are moving to this server.
        var isAsking = false
        /// The node; `nil` if the server is not known as the master of a slot.
        var node: ClusterTopology.Node?

        func execute(
            _ arguments: [[UInt8]], in database: UInt32? = nil, timeout: Duration? = nil
        ) async throws(TargetError) -> RESPValue {
            try await requests.execute(arguments, in: database, isAsking: isAsking, timeout: timeout)
        }

        func execute(_ words: String..., in database: UInt32? = nil) async throws(TargetError) -> RESPValue {
            try await execute(words.map(\.bytes), in: database)
        }

        func sequence<R: Sendable>(
            _ body: @Sendable (RequestSequence) async throws(TargetError) -> R
        ) async throws(TargetError) -> R {
            try await requests.sequence(isAsking: isAsking, body)
        }
    }

    private func server(_ cluster: ClusterConnector, at endpoint: Endpoint, _ node: ClusterTopology.Node?) -> Server {
        let requests = nodes.withLock { nodes in
            if let known = nodes[endpoint] { return known }
            let new = TargetRequests(timeout: connector.settings.timeout, replacement: replacement) {
                [role] (replacing, questions) throws(TargetError) in
                try await cluster.connect(to: endpoint, role: role, replacing: replacing, asking: questions)
            }
            nodes[endpoint] = new
            return new
        }
        return Server(requests: requests, connector: cluster.connector(for: endpoint), node: node)
    }

    // MARK: By key

    /// Runs `body` with the server that serves `key`, and again with another server if it is redirected.
    ///
    /// - Parameter body: sends the requests. It may run several times and must not do anything that may be done only once.
    ///   (If a node redirects a request, nothing has been executed.)
    func at<R: Sendable>(
        _ key: [UInt8], _ body: @Sendable (Server) async throws(TargetError) -> R
    ) async throws(TargetError) -> R {
        guard let cluster else { return try await body(Server(requests: single, connector: connector)) }
        return try await at(KeySlot(of: key), in: cluster, body)
    }

    private func at<R: Sendable>(
        _ slot: KeySlot, in cluster: ClusterConnector, _ body: @Sendable (Server) async throws(TargetError) -> R
    ) async throws(TargetError) -> R {
        var view = try await cluster.current()
        var next: Server?
        for attempt in 1... {
            let master = try cluster.master(of: slot, in: view)
            let server = next ?? self.server(cluster, at: master.endpoint, master)
            next = nil
            do throws(TargetError) {
                return try await body(server)
            } catch {
                guard attempt < Self.attempts else { throw error }
                let reading = cluster.reading(from: server.connector.settings.endpoint)
                switch error.redirection.flatMap({ ClusterRedirection($0, reading) }) {
                case .moved(_, let informed):
                    view = try await cluster.refresh(after: view.generation, asking: informed)
                case .ask(_, let endpoint?):
                    var asked = self.server(cluster, at: endpoint, nil)
                    asked.isAsking = true
                    next = asked
                case .ask(_, nil), .tryAgain:
                    try? await Task.sleep(for: Self.pause)
                case .down, nil:
                    // This may be a failover. If another node serves the slot by now, it is asked at once.
                    guard error.isTransient else { throw error }
                    let newer: ClusterConnector.View
                    do throws(TargetError) { newer = try await cluster.refresh(after: view.generation) } catch let other
                    {
                        throw other.isTransient ? error : other
                    }
                    if newer.topology.master(of: slot) == master { throw error }
                    view = newer
                }
            }
        }
        preconditionFailure("the loop ends by a return or an error")
    }

    /// Makes one request for the keys of each slot. All requests to a node are sent at once.
    ///
    /// - Parameter request: returns the arguments for some keys, which are given by their indices in `keys`. In a cluster
    ///   they all have the same slot.
    /// - Throws: `TargetError`, also for an error reply.
    func each(
        _ keys: [[UInt8]], in database: UInt32, _ request: @Sendable ([Int]) -> [[UInt8]]
    ) async throws(TargetError) {
        guard let cluster else {
            return _ = try await single.execute(request(Array(keys.indices)), in: database)
        }
        let view = try await cluster.current()
        let slots = Dictionary(grouping: keys.indices) { KeySlot(of: keys[$0]) }
        let groups = Dictionary(grouping: slots.keys) { view.topology.master(of: $0) }
        for (master, slotsOfMaster) in groups {
            let requests = slotsOfMaster.map { request(slots[$0] ?? []) }
            var replies: [RESPValue]?
            if let master {
                // If the node is lost, the requests below find out.
                replies = try? await server(cluster, at: master.endpoint, master).requests
                    .pipeline(requests, in: database)
            }
            for (index, slot) in slotsOfMaster.enumerated() {
                if let reply = replies?[index], reply.errorText == nil { continue }
                _ = try await at(slot, in: cluster) { (server) throws(TargetError) in
                    try await server.execute(requests[index], in: database)
                }
            }
        }
    }

    /// Sends requests at once to the single server, which executes them in this order.
    ///
    /// - Returns: the replies, some of which may be errors; `nil` for a cluster, in which case nothing is sent.
    func pipeline(_ requests: [[[UInt8]]], in database: UInt32) async throws(TargetError) -> [RESPValue]? {
        cluster == nil ? try await single.pipeline(requests, in: database) : nil
    }

    /// Asks the single server questions that change nothing, all at once. If a connection is opened for them, they go with
    /// its greeting.
    ///
    /// - Returns: the answer, or an error reply, to each question; `nil` for a cluster, in which case nothing is asked.
    func ask(_ questions: [TargetRequests.Question]) async throws(TargetError) -> [RESPValue]? {
        cluster == nil ? try await single.ask(questions) : nil
    }

    /// The number of the connection to the single server that is in use.
    var connectionNumber: Int {
        get async { await single.connectionNumber }
    }

    // MARK: Everywhere

    /// The server, or all current masters of the cluster.
    ///
    /// - Parameter isFresh: whether to read the topology of the cluster again.
    func all(isFresh: Bool = true) async throws(TargetError) -> [Server] {
        guard let cluster else { return [Server(requests: single, connector: connector)] }
        var view = try await cluster.current()
        if isFresh { view = try await cluster.refresh(after: view.generation) }
        return view.topology.masters.map { server(cluster, at: $0.endpoint, $0) }
    }

    /// Sends a request to every server.
    ///
    /// - Returns: the replies, in no particular order.
    /// - Throws: `TargetError`, also for an error reply.
    func executeEverywhere(
        _ words: String..., in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> [RESPValue] {
        let arguments = words.map(\.bytes)
        var replies: [RESPValue] = []
        for server in try await all() {
            replies.append(try await server.execute(arguments, in: database, timeout: timeout))
        }
        return replies
    }

    /// Sends a request to the replicas of a cluster, or of a master that sentinels have named, because one of them may
    /// become a master. Replicas that do not answer are skipped.
    func tellReplicas(_ words: String...) async {
        for connector in await replicas() {
            guard let connection = try? await connector.connect(role: role) else { continue }
            _ = try? await connection.request(words.map(\.bytes), timeout: connector.settings.timeout)
            await connection.close()
        }
    }

    private func replicas() async -> [TargetConnector] {
        if let cluster {
            let shards = try? await cluster.current().topology.shards
            return (shards ?? []).flatMap(\.replicas).map { cluster.connector(for: $0.endpoint) }
        }
        guard connector.settings.locator != nil,
            let reply = try? await single.execute(["INFO", "replication"].map(\.bytes))
        else { return [] }
        return TargetFigures.replicas(in: ServerInfo(reply.text)).map { endpoint in
            var settings = connector.settings
            (settings.endpoint, settings.sentinel, settings.locator, settings.owner) = (endpoint, nil, nil, nil)
            return TargetConnector(settings: settings)
        }
    }

    // MARK: Connections

    /// Replaces every connection. Whatever the old ones have sent has taken effect by then, or never will.
    ///
    /// A node that is no longer a master loses whatever it still executes.
    func renew() async throws(TargetError) {
        guard cluster != nil else { return try await single.renew() }
        let masters = try await all().map(\.requests)
        let used = nodes.withLock { Array($0.values) }
        for requests in used {
            if masters.contains(where: { $0 === requests }) {
                try await requests.renew()
            } else {
                await requests.close()
            }
        }
    }

    func close() async {
        await single.close()
        for requests in nodes.withLock({ Array($0.values) }) { await requests.close() }
    }
}
