import Link
package import Redis
import Wire

/// The connections of one reader to the nodes of a cluster. Each command goes to the node that serves its key, and follows
/// redirections.
///
/// A command without a key goes to any master. The connections are only for commands that read, because a command may be
/// sent twice.
package actor ClusterConnections {
    /// How often a redirected command is sent before its error becomes the answer.
    private static let attempts = 40
    private static let pause = Duration.milliseconds(50)

    private struct Link {
        let connection: RequestConnection
        var database: UInt32 = 0
    }

    private let cluster: ClusterConnector
    private let role: String
    private let timeout: Duration
    private var links: [Endpoint: Link] = [:]
    /// The database that the caller has selected for all following commands.
    private var database: UInt32 = 0

    init(_ cluster: ClusterConnector, role: String, timeout: Duration) {
        (self.cluster, self.role, self.timeout) = (cluster, role, timeout)
    }

    /// The current masters.
    func masters() async throws(TargetError) -> [ClusterTopology.Node] {
        let view = try await cluster.current()
        return try await cluster.refresh(after: view.generation).topology.masters
    }

    /// The topology that was read last.
    package func topology() async throws(TargetError) -> ClusterTopology { try await cluster.current().topology }

    /// Sends all commands, each to the node of its key, and returns their replies in order. Error replies are returned as
    /// values.
    func requests(_ commands: [Command]) async throws -> [RESPValue] {
        var replies = [RESPValue](repeating: .array(nil), count: commands.count)
        var places: [Endpoint: [Int]] = [:]
        let view = try await cluster.current()
        var selects: Int?
        for (index, command) in commands.enumerated() {
            if let number = Self.selected(by: command) {
                precondition(places.isEmpty, "one database for all commands of a call")
                (database, selects) = (number, index)
                continue
            }
            let node = try cluster.master(of: Self.slot(of: command), in: view)
            places[node.endpoint, default: []].append(index)
        }
        if places.isEmpty, let node = view.topology.masters.first { places[node.endpoint] = [] }
        var refusal: RESPValue?
        for (endpoint, indices) in places {
            let answers = try await answers(endpoint, indices.map { commands[$0] })
            if let text = answers?.refusal { refusal = .error(text) }
            for (place, index) in indices.enumerated() {
                if let reply = answers?.replies[place], !Self.mustResend(after: reply) {
                    replies[index] = reply
                } else {
                    replies[index] = try await follow(commands[index])
                }
            }
        }
        if let selects { replies[selects] = refusal ?? .simple("OK") }
        return replies
    }

    /// Sends commands to one node, regardless of their keys.
    func requests(_ commands: [Command], at endpoint: Endpoint) async throws -> [RESPValue] {
        guard let first = commands.first, let number = Self.selected(by: first) else {
            return try await exchange(endpoint, commands).replies
        }
        database = number
        let (replies, refusal) = try await exchange(endpoint, Array(commands.dropFirst()))
        return [refusal.map { .error($0) } ?? .simple("OK")] + replies
    }

    private static func selected(by command: Command) -> UInt32? {
        guard command.count == 2, command[0].elementsEqual("SELECT".utf8) else { return nil }
        return UInt32(String(decoding: command[1], as: UTF8.self)) ?? 0
    }

    /// - Returns: `nil` if the connection was lost, so that the commands must be sent again.
    private func answers(
        _ endpoint: Endpoint, _ commands: [Command]
    ) async throws -> (replies: [RESPValue], refusal: String?)? {
        do { return try await exchange(endpoint, commands) } catch let error as CancellationError {
            throw error
        } catch {
            let error = TargetError(error)
            guard error.isTransient else { throw error }
            return nil
        }
    }

    private func exchange(
        _ endpoint: Endpoint, _ commands: [Command], isAsking: Bool = false
    ) async throws -> (replies: [RESPValue], refusal: String?) {
        let link = try await link(to: endpoint)
        let selects = link.database != database
        var all = selects ? [command("SELECT", "\(database)")] : []
        for request in commands { all += isAsking ? [command("ASKING"), request] : [request] }
        do {
            var replies = try await link.connection.requests(all, timeout: timeout)[...]
            var refusal: String?
            if selects {
                refusal = replies.removeFirst().errorText
                if refusal == nil { links[endpoint]?.database = database }
            }
            // The other commands ran in the previously selected database, so their replies are of no use.
            if let refusal { return (commands.map { _ in .error(refusal) }, refusal) }
            if isAsking { replies = replies.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)[...] }
            return (Array(replies), nil)
        } catch {
            links[endpoint] = nil
            await link.connection.close()
            throw error
        }
    }

    private func link(to endpoint: Endpoint) async throws -> Link {
        if let link = links[endpoint] { return link }
        let link = Link(connection: try await cluster.connect(to: endpoint, role: role))
        links[endpoint] = link
        return link
    }

    // MARK: Redirected commands

    private func follow(_ command: Command) async throws -> RESPValue {
        var view = try await cluster.current()
        var asked: Endpoint?
        var last: (reply: RESPValue?, error: TargetError?) = (nil, nil)
        for _ in 0..<Self.attempts {
            let endpoint = try asked ?? cluster.master(of: Self.slot(of: command), in: view).endpoint
            let isAsking = asked != nil
            asked = nil
            do {
                let reply = try await exchange(endpoint, [command], isAsking: isAsking).replies[0]
                guard Self.mustResend(after: reply) else { return reply }
                last = (reply, nil)
                switch ClusterRedirection(reply.errorText ?? "", cluster.reading(from: endpoint)) {
                case .moved(_, let informed):
                    view = try await cluster.refresh(after: view.generation, asking: informed)
                case .ask(_, let other?): asked = other
                case .ask(_, nil), .tryAgain: try await Task.sleep(for: Self.pause)
                case .down, nil:
                    try await Task.sleep(for: Self.pause)
                    view = try await cluster.refresh(after: view.generation)
                }
            } catch let error as CancellationError {
                throw error
            } catch {
                let error = TargetError(error)
                guard error.isTransient else { throw error }
                last = (nil, error)
                try await Task.sleep(for: Self.pause)
                // During a failover it is possible that no node answers.
                if let newer = try? await cluster.refresh(after: view.generation) { view = newer }
            }
        }
        if let error = last.error { throw error }
        return last.reply ?? .array(nil)
    }

    /// Whether an error reply redirects the command to another node, or says that it may be taken later.
    private static func mustResend(after reply: RESPValue) -> Bool {
        guard let text = reply.errorText else { return false }
        return ["MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN"].contains { text.hasPrefix($0) }
    }

    /// The slot of a command's first key.
    private static func slot(of command: Command) -> KeySlot {
        // XINFO STREAM key, XINFO GROUPS key.
        let place = command[0].elementsEqual("XINFO".utf8) ? 2 : 1
        return place < command.count ? KeySlot(of: command[place]) : KeySlot(0)
    }

    /// When the first certificate of a master expires, and the master's endpoint.
    func certificateEnd() async throws -> (end: Int64, endpoint: Endpoint)? {
        var first: (end: Int64, endpoint: Endpoint)?
        for node in try await masters() {
            guard let end = try await link(to: node.endpoint).connection.certificateEnd else { continue }
            if first.map({ end < $0.end }) ?? true { first = (end, node.endpoint) }
        }
        return first
    }

    /// Closes all connections at the same time, each with a FIN first.
    func close(within limit: Duration) async {
        let connections = links.values.map(\.connection)
        links = [:]
        await withTaskGroup(of: Void.self) { group in
            for connection in connections { group.addTask { _ = await connection.leave(within: limit) } }
        }
    }
}
