import Base
import Dragonfly
import DragonflySimulator
import Lab
import Link
import Logging
import Redis
import Wire

@testable import Replication

/// A task between a simulated master and a real server, run in this process.
final class SessionScene {
    let master: SimulatedMaster
    let redis: RedisServer
    let log = RecordedLog()
    let notices = RecordedNotices()
    private let folder: TemporaryFolder

    /// - Parameter keys: the number of keys that the master holds at the start.
    init(keys: Int = 100) throws {
        var options = MasterOptions()
        options.shardCount = 2
        master = try SimulatedMaster(.live(SyntheticDataSet(keys: keys)), options: options)
        try master.start()
        redis = try RedisServer()
        folder = try TemporaryFolder("session")
    }

    deinit { master.stop() }

    /// Settings with short times for a leave and a retry, and with a state directory.
    func settings(_ change: (inout ReplicatorSettings) -> Void = { _ in }) -> ReplicatorSettings {
        var settings = ReplicatorSettings(
            task: "scene", mode: .replicate,
            source: SourceSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: master.port), clientID: String(repeating: "a", count: 40),
                displayName: "scene"),
            target: TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:scene"),
            clock: { WallClock.milliseconds() })
        settings.drain = .milliseconds(50)
        settings.retry = RetryPolicy(initial: .milliseconds(20), maximum: .milliseconds(100))
        settings.stateDirectory = folder.path
        settings.spoolDirectory = folder.path
        change(&settings)
        return settings
    }

    func task(_ change: (inout ReplicatorSettings) -> Void = { _ in }) -> TaskContext {
        TaskContext(settings: settings(change), logger: log.logger, notice: { [notices] in notices.add($0) })
    }

    func replicator(_ change: (inout ReplicatorSettings) -> Void = { _ in }) -> Replicator {
        Replicator(settings: settings(change), logger: log.logger, notice: { [notices] in notices.add($0) })
    }

    /// The error that ends `session`.
    static func failure(of session: ReplicationSession) async throws -> ReplicationError {
        do {
            let end = try await session.run()
            throw LabError("the session has ended without an error: \(end)")
        } catch let error as ReplicationError {
            return error
        }
    }

    /// Waits until the status has been `phase` at least once since the session began.
    func wait(until phase: Phase) async throws {
        try await eventually("the task is \(phase)") { notices.phases.contains(phase) }
    }

    func wait(forLine text: String) async throws {
        try await eventually("the log says: \(text)") { log.contains(text) }
    }

    /// The task's connections at the target, by the role at the end of their names.
    func targetRoles() throws -> [String] {
        let list = try redis.client().command("CLIENT", "LIST").text ?? ""
        return list.split(separator: "\n").compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("name=df2redis:scene") }.map { String($0.dropFirst(5)) }
        }
    }

    /// Checks that nothing of the session is left at either end, and that the master noticed no violation.
    func expectLeft() async throws {
        try await eventually("the master has no session") { master.sessionStates.isEmpty }
        try await eventually("the target has no connection of the task") { try targetRoles().isEmpty }
        if !master.violations.isEmpty { throw LabError("\(master.violations)") }
        let resets = master.connections.filter { $0.clientEnd == .rst }
        if !resets.isEmpty { throw LabError("ended with RST: \(resets.map(\.role))") }
    }
}

/// Keeps the log records.
final class RecordedLog: Sendable {
    private let events = Lock<[LogEvent]>([])

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(log: self) }
        logger.logLevel = .debug
        return logger
    }

    var messages: [String] { events.withLock { $0.map { "\($0.message)" } } }

    func contains(_ text: String) -> Bool { messages.contains { $0.contains(text) } }

    /// The value of a field in the first line that contains `text`.
    func field(_ name: String, ofLine text: String) -> String? {
        events.withLock { $0 }.first { "\($0.message)".contains(text) }?.metadata?[name].map { "\($0)" }
    }

    private struct Handler: LogHandler {
        let log: RecordedLog
        var logLevel = Logger.Level.debug
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { log.events.withLock { $0.append(event) } }
    }
}

/// Keeps the task's notices, and runs a reaction within each.
final class RecordedNotices: Sendable {
    private let statuses = Lock<[ReplicationStatus]>([])
    private let reaction = Lock<(@Sendable (ReplicationStatus) -> Void)?>(nil)

    var phases: [Phase] { statuses.withLock { $0.map(\.phase) } }
    var details: [String] { statuses.withLock { $0.compactMap(\.detail) } }

    func react(_ body: @escaping @Sendable (ReplicationStatus) -> Void) { reaction.withLock { $0 = body } }

    func add(_ notice: ReplicatorNotice) {
        let status: ReplicationStatus
        switch notice {
        case .phase(let found), .ready(let found), .loading(let found, next: _): status = found
        case .beat, .sessionEnded: return
        }
        statuses.withLock { $0.append(status) }
        reaction.withLock { $0 }?(status)
    }
}

/// Polls `condition` until it holds, without blocking a thread of the pool meanwhile.
func eventually(
    _ what: String, isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool
) async throws {
    try await Lab.wait(until: what, isolation: isolation, condition)
}
