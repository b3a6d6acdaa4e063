import Dragonfly
import Link
import Logging
import Replication
import Wire

/// Asks the source, over an ordinary connection, whether it answers and how its replicas are.
actor SourceProbe {
    /// One late answer is none to be called for.
    private static let failuresUntilAlert = 2

    private let settings: SourceSettings
    private let limit: Duration
    private var connection: RequestConnection?
    private var failures = 0
    private var replicas: ReplicaWatch
    private let logger: Logger
    /// What the source is has been asked.
    private var isKnown = false

    init(settings: SourceSettings, limit: Duration, sessionLimit: Duration, logger: Logger) {
        self.logger = logger
        var settings = settings
        settings.connectTimeout = limit
        self.settings = settings
        self.limit = limit
        replicas = ReplicaWatch(limit: sessionLimit)
    }

    /// What is wrong now. Takes three times the limit at most.
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

    /// Another server answers PING as well, and has none of what is looked for.
    private func lookAtKind(_ connection: RequestConnection) async throws {
        if isKnown { return }
        let info = try await connection.request("INFO", "server", timeout: limit)
        if info.errorText != nil { return }
        isKnown = true
        guard ServerInfo(info.text)["dragonfly_version"] == nil else { return }
        logger.warning("\(SourceError.notADragonfly(settings)): what is watched for is a Dragonfly's")
    }

    /// One that is loading its data answers, and will serve.
    private func isRefusal(_ reply: RESPValue) -> Bool {
        if case .error(let text) = reply { return !text.hasPrefix("LOADING") }
        return false
    }

    private func alert(afterAnswer reason: String) -> [Alert] {
        alert(after: "the source \(settings.endpoint) does not answer well: \(reason)")
    }

    /// Notes a failure; one alone is no alert yet.
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

    /// FIN-first.
    func close() async { _ = await connection?.leave(within: .seconds(1)) }
}
