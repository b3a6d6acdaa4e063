package import Dragonfly
import Link
package import Redis
import Wire

/// The two servers that are compared.
package struct ServerPair: Sendable {
    package let source: SourceSettings
    package let target: TargetSettings

    package init(source: SourceSettings, target: TargetSettings) {
        self.source = source
        self.target = target
    }
}

/// A command and its arguments.
typealias Command = [[UInt8]]

func command(_ words: String...) -> Command { words.map { Array($0.utf8) } }

/// A connection to one of the servers, for commands that read.
struct ServerConnection: Sendable {
    enum Side: Sendable { case source, target }

    private enum Way: Sendable {
        case server(RequestConnection)
        case cluster(ClusterConnections)
    }

    let side: Side
    private let way: Way
    private let timeout: Duration
    private let pacer: Pacer?
    /// As long as a leave waits for a FIN: a busy source must not be answered with RST.
    private static let finWait = Duration.seconds(1)

    static func source(
        _ settings: SourceSettings, role: String, pacer: Pacer? = nil
    ) async throws(ComparisonError) -> ServerConnection {
        do {
            let connection = try await settings.connect(label: "df2redis.\(role).source")
            return ServerConnection(
                side: .source, way: .server(connection), timeout: settings.connectTimeout, pacer: pacer)
        } catch {
            throw .source(error)
        }
    }

    static func target(
        _ settings: TargetSettings, role: String, pacer: Pacer? = nil
    ) async throws(ComparisonError) -> ServerConnection {
        let connector = TargetConnector(settings: settings)
        do {
            let way: Way
            if let cluster = connector.cluster {
                let connections = ClusterConnections(cluster, role: role, timeout: settings.timeout)
                // A node that is none says so here.
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

    /// All connections that the reading of a cluster needs, for what is not about a key; `nil`: it is a server by itself.
    var cluster: ClusterConnections? { if case .cluster(let connections) = way { connections } else { nil } }

    /// Sends all commands, then reads all replies. Error replies are values.
    func requests(_ commands: [Command]) async throws(ComparisonError) -> [RESPValue] {
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

    /// The servers that a walk over all keys goes to, one after the other; `nil` is the one server that there is.
    func walkPlaces() async throws(ComparisonError) -> [Endpoint?] {
        guard let cluster else { return [nil] }
        do { return try await cluster.masters().map(\.endpoint) } catch { throw .target(error) }
    }

    /// Sends commands to one of `walkPlaces`.
    func requests(_ commands: [Command], at place: Endpoint?) async throws(ComparisonError) -> [RESPValue] {
        guard let place, let cluster else { return try await requests(commands) }
        do {
            if let pacer { try await pacer.take(commands.count) }
            return try await cluster.requests(commands, at: place)
        } catch {
            throw failure(error)
        }
    }

    /// When the first of the server's certificates ends, in Unix seconds, and whose it is; `nil` in plaintext.
    func certificateEnd() async throws(ComparisonError) -> (end: Int64, endpoint: Endpoint)? {
        do {
            switch way {
            case .server(let connection): return await connection.certificateEnd.map { ($0, connection.endpoint) }
            case .cluster(let connections): return try await connections.certificateEnd()
            }
        } catch {
            throw failure(error)
        }
    }

    /// - Throws: for an error reply too.
    func demand(_ command: Command) async throws(ComparisonError) -> RESPValue {
        let reply = try await requests([command])[0]
        if case .error(let text) = reply { throw refusal(text, of: command) }
        return reply
    }

    func demand(_ words: String...) async throws(ComparisonError) -> RESPValue {
        try await demand(words.map { Array($0.utf8) })
    }

    /// What an error reply to `command` means.
    func refusal(_ text: String, of command: Command) -> ComparisonError {
        let name = String(decoding: command[0], as: UTF8.self)
        return switch side {
        case .source: .source(.reply(text, toQuestion: name))
        case .target: .target(.reply(text, to: name))
        }
    }

    private func failure(_ error: any Error) -> ComparisonError {
        if error is CancellationError { return .cancelled }
        if case RequestFailure.cancelled = error { return .cancelled }
        return switch side {
        case .source: .source(SourceError(ordinary: error))
        case .target: .target(TargetError(error))
        }
    }

    /// A reply that is no answer to what was asked.
    func violation(_ what: String) -> ComparisonError {
        switch side {
        case .source: .source(SourceError(.protocolViolation, "the source's answer to \(what) cannot be read"))
        case .target: .target(TargetError(.protocolViolation, "the target's answer to \(what) cannot be read"))
        }
    }

    /// FIN-first.
    func close() async {
        switch way {
        case .server(let connection): _ = await connection.leave(within: Self.finWait)
        case .cluster(let connections): await connections.close(within: Self.finWait)
        }
    }

    /// A section of INFO; of a cluster, some master's.
    func info(_ section: String) async throws(ComparisonError) -> ServerInfo {
        try await info(section, at: walkPlaces()[0])
    }

    func info(_ section: String, at place: Endpoint?) async throws(ComparisonError) -> ServerInfo {
        let question = command("INFO", section)
        let reply = try await requests([question], at: place)[0]
        if case .error(let text) = reply { throw refusal(text, of: question) }
        return ServerInfo(reply.text)
    }

    /// Keys by database, those that are not empty.
    func keyCounts() async throws(ComparisonError) -> [UInt32: Int] {
        var counts: [UInt32: Int] = [:]
        for place in try await walkPlaces() {
            counts.merge(try await info("keyspace", at: place).keyCounts, uniquingKeysWith: +)
        }
        return counts
    }
}

/// Lets at most so many commands a second go to a server, over all connections to it.
actor Pacer {
    private let interval: Duration
    private var next = ContinuousClock.now

    init(commandsPerSecond: Int) { interval = .seconds(1) / commandsPerSecond }

    /// Waits until `count` commands may be sent.
    func take(_ count: Int) async throws {
        let start = max(next, .now)
        next = start + interval * count
        if start > .now { try await Task.sleep(until: start, clock: .continuous) }
    }
}
