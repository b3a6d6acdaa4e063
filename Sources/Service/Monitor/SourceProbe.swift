import Dragonfly
import Link
import Logging
import Replication
import Wire

/// Checks over an ordinary connection whether the source answers and whether its replicas make progress.
actor SourceProbe {
    /// A single late answer raises no alert.
    private static let failuresUntilAlert = 2

    private let settings: SourceSettings
    private let limit: Duration
    private var connection: RequestConnection?
    private var failures = 0
    private var replicas: ReplicaWatch
    private let logger: Logger
    /// Whether the kind of the server has been determined.
    private var isKnown = false

    init(settings: SourceSettings, limit: Duration, sessionLimit: Duration, logger: Logger) {
        self.logger = logger
        var settings = settings
        settings.connectTimeout = limit
        self.settings = settings
        self.limit = limit
        replicas = ReplicaWatch(limit: sessionLimit)
    }

    /// Returns the alerts that apply now. Each step, from the connect to INFO, takes at most the limit.
    func alerts() async -> [Alert] {
        do {
            let connection = try await open()
            let start = ContinuousClock.now
            let reply = try await connection.request("PING", timeout: limit)
            let time = start.duration(to: .now)
            guard !isRefusal(reply) else { return alert(afterAnswer: "it answers \(reply.errorText ?? "")") }
            guard time < limit else { return alert(afterAnswer: "it took \(time.tenths) s for PING") }
            failures = 0
            try await lookAtKind(connection)
            let info = try await connection.request("INFO", "replication", timeout: limit)
            return replicas.alerts(ReplicaWatch.Replica.all(inInfo: info.text ?? ""), at: .now)
        } catch {
            if let connection { Task { _ = await connection.leave(within: .seconds(1)) } }
            connection = nil
            return alert(after: "\(SourceError(ordinary: error))")
        }
    }

    /// Warns if the source is no Dragonfly: another server answers PING as well, but shows nothing that the monitor looks
    /// for.
    private func lookAtKind(_ connection: RequestConnection) async throws {
        if isKnown { return }
        let info = try await connection.request("INFO", "server", timeout: limit)
        if info.errorText != nil { return }
        isKnown = true
        guard ServerInfo(info.text)["dragonfly_version"] == nil else { return }
        logger.warning("\(SourceError.notADragonfly(settings)): what is watched for is a Dragonfly's")
    }

    /// Returns whether a reply is an error. A server that loads its data answers, and will serve.
    private func isRefusal(_ reply: RESPValue) -> Bool {
        if case .error(let text) = reply { return !text.hasPrefix("LOADING") }
        return false
    }

    private func alert(afterAnswer reason: String) -> [Alert] {
        alert(after: "the source \(settings.endpoint) does not answer well: \(reason)")
    }

    /// Notes a failure; a single one raises no alert.
    private func alert(after message: String) -> [Alert] {
        failures += 1
        return failures < Self.failuresUntilAlert ? [] : [Alert(name: "unanswered", message: message)]
    }

    private func open() async throws -> RequestConnection {
        if let connection, await !connection.isBroken { return connection }
        let connection = try await settings.connect(label: "df2redis.monitor")
        self.connection = connection
        return connection
    }

    /// Closes the connection, FIN first.
    func close() async { _ = await connection?.leave(within: .seconds(1)) }
}
