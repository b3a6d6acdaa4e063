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

    let side: Side
    let connection: RequestConnection
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
                side: .source, connection: connection, timeout: settings.connectTimeout, pacer: pacer)
        } catch {
            throw .source(error)
        }
    }

    static func target(
        _ settings: TargetSettings, role: String, pacer: Pacer? = nil
    ) async throws(ComparisonError) -> ServerConnection {
        do {
            let connection = try await TargetConnector(settings: settings).connect(role: role)
            return ServerConnection(side: .target, connection: connection, timeout: settings.timeout, pacer: pacer)
        } catch {
            throw .target(error)
        }
    }

    /// Sends all commands, then reads all replies. Error replies are values.
    func requests(_ commands: [Command]) async throws(ComparisonError) -> [RESPValue] {
        do {
            if let pacer { try await pacer.take(commands.count) }
            return try await connection.requests(commands, timeout: timeout)
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
    func close() async { _ = await connection.leave(within: Self.finWait) }

    func info(_ section: String) async throws(ComparisonError) -> ServerInfo {
        ServerInfo(try await demand("INFO", section).text)
    }

    /// Keys by database, those that are not empty.
    func keyCounts() async throws(ComparisonError) -> [UInt32: Int] { try await info("keyspace").keyCounts }
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
