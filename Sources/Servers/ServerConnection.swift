package import Dragonfly
package import Link
package import Redis
package import Wire

/// A connection to one of the servers, for commands that read.
package struct ServerConnection: Sendable {
    enum Side: Sendable { case source, target }

    private enum Way: Sendable {
        case server(RequestConnection)
        case cluster(ClusterConnections)
    }

    let side: Side
    private let way: Way
    private let timeout: Duration
    private let pacer: Pacer?
    /// How long a leave waits for the peer's FIN. A busy source must not be answered with RST.
    private static let finWait = Duration.seconds(1)

    /// - Throws: `ServerError`.
    package static func source(
        _ settings: SourceSettings, role: String, pacer: Pacer? = nil
    ) async throws(ServerError) -> ServerConnection {
        do {
            let connection = try await settings.connect(label: "df2redis.\(role).source")
            return ServerConnection(
                side: .source, way: .server(connection), timeout: settings.connectTimeout, pacer: pacer)
        } catch {
            throw .source(error)
        }
    }

    /// - Throws: `ServerError`.
    package static func target(
        _ settings: TargetSettings, role: String, pacer: Pacer? = nil
    ) async throws(ServerError) -> ServerConnection {
        let connector = TargetConnector(settings: settings)
        do {
            let way: Way
            if let cluster = connector.cluster {
                let connections = ClusterConnections(cluster, role: role, timeout: settings.timeout)
                // If a node is not a cluster node, this reports it.
                _ = try await connections.requests([command("PING")])
                way = .cluster(connections)
            } else {
                way = .server(try await connector.connect(role: role))
            }
            return ServerConnection(side: .target, way: way, timeout: settings.timeout, pacer: pacer)
        } catch {
            throw .target(TargetError(error))
        }
    }

    /// The connections to the nodes of a cluster, for requests that concern no key; `nil` for a single server.
    package var cluster: ClusterConnections? { if case .cluster(let connections) = way { connections } else { nil } }

    /// Sends all commands, then reads all replies. Error replies are returned as values.
    package func requests(_ commands: [Command]) async throws(ServerError) -> [RESPValue] {
        do {
            if let pacer { try await pacer.take(commands.count) }
            switch way {
            case .server(let connection): return try await connection.requests(commands, timeout: timeout)
            case .cluster(let connections): return try await connections.requests(commands)
            }
        } catch {
            throw failure(error)
        }
    }

    /// The servers that a walk over all keys must visit, one after another. A single server is represented by `nil`.
    package func walkPlaces() async throws(ServerError) -> [Endpoint?] {
        guard let cluster else { return [nil] }
        do { return try await cluster.masters().map(\.endpoint) } catch { throw .target(error) }
    }

    /// Sends commands to one of `walkPlaces`.
    package func requests(_ commands: [Command], at place: Endpoint?) async throws(ServerError) -> [RESPValue] {
        guard let place, let cluster else { return try await requests(commands) }
        do {
            if let pacer { try await pacer.take(commands.count) }
            return try await cluster.requests(commands, at: place)
        } catch {
            throw failure(error)
        }
    }

    /// When the first of the server's certificates expires, in Unix seconds, and its endpoint; `nil` in plaintext.
    package func certificateEnd() async throws(ServerError) -> (end: Int64, endpoint: Endpoint)? {
        do {
            switch way {
            case .server(let connection): return await connection.certificateEnd.map { ($0, connection.endpoint) }
            case .cluster(let connections): return try await connections.certificateEnd()
            }
        } catch {
            throw failure(error)
        }
    }

    /// - Throws: `ServerError`, also for an error reply.
    package func execute(_ command: Command) async throws(ServerError) -> RESPValue {
        let reply = try await requests([command])[0]
        if case .error(let text) = reply { throw refusal(text, of: command) }
        return reply
    }

    package func execute(_ words: String...) async throws(ServerError) -> RESPValue {
        try await execute(words.map(\.commandBytes))
    }

    /// The error for an error reply to `command`.
    package func refusal(_ text: String, of command: Command) -> ServerError {
        let name = String(decoding: command[0], as: UTF8.self)
        return switch side {
        case .source: .source(.reply(text, toQuestion: name))
        case .target: .target(.reply(text, to: name))
        }
    }

    private func failure(_ error: any Error) -> ServerError {
        if error is CancellationError { return .cancelled }
        if case RequestFailure.cancelled = error { return .cancelled }
        return switch side {
        case .source: .source(SourceError(ordinary: error))
        case .target: .target(TargetError(error))
        }
    }

    /// The error for a reply that does not fit the question.
    package func violation(_ what: String) -> ServerError {
        switch side {
        case .source: .source(SourceError(.protocolViolation, "the source's answer to \(what) cannot be read"))
        case .target: .target(TargetError(.protocolViolation, "the target's answer to \(what) cannot be read"))
        }
    }

    /// Closes the connection, with a FIN first.
    package func close() async {
        switch way {
        case .server(let connection): _ = await connection.leave(within: Self.finWait)
        case .cluster(let connections): await connections.close(within: Self.finWait)
        }
    }

    /// A section of INFO; for a cluster, that of any master.
    package func info(_ section: String) async throws(ServerError) -> ServerInfo {
        try await info(section, at: walkPlaces()[0])
    }

    package func info(_ section: String, at place: Endpoint?) async throws(ServerError) -> ServerInfo {
        let question = command("INFO", section)
        let reply = try await requests([question], at: place)[0]
        if case .error(let text) = reply { throw refusal(text, of: question) }
        return ServerInfo(reply.text)
    }

    /// The number of keys by database, without empty databases.
    package func keyCounts() async throws(ServerError) -> [UInt32: Int] {
        var counts: [UInt32: Int] = [:]
        for place in try await walkPlaces() {
            counts.merge(try await info("keyspace", at: place).keyCounts, uniquingKeysWith: +)
        }
        return counts
    }
}
