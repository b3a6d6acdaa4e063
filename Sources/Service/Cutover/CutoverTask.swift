import Base
import Dashboard
import Dragonfly
import Glibc
import Link
import Redis
import Replication

/// The running task of a cut-over: its configuration, and requests over its socket.
struct CutoverTask: Sendable {
    let name: String
    let status: StatusDocument
    let file: String
    let configuration: Configuration
    let settings: ReplicatorSettings
    /// The folder of the task's socket.
    let folder: String
    /// The task's unit; `nil` if systemd did not start the task.
    let unit: String?
    let client: AsyncControlClient

    /// - Throws: `OperatorRequestFailure`, `ControlClient.Failure`, `ConfigurationError`, `CutoverFailure`.
    init(_ request: CutoverService.Request, in directory: RuntimeDirectory) async throws {
        name = request.task
        client = try AsyncControlClient(task: request.task, in: directory)
        folder = client.socket.folder
        status = try await client.request { try $0.status().status }
        unit = Self.unit(of: status.pid)
        guard let file = request.configurationFile ?? (status.configuration.isEmpty ? nil : status.configuration) else {
            throw CutoverFailure(
                "the task does not say which file it was started with: give it with --config", .wrongUsage)
        }
        self.file = file
        configuration = try Self.loader(unit: unit).load(file, taskName: request.task).configuration
        settings = ReplicatorSettings(configuration, mode: .replicate)
    }

    var source: String { settings.source.endpoint.description }
    var target: String { settings.target.place }
    /// The number of flows when the status was read; the source has as many shards.
    var flows: Int { status.flows.count }

    /// How far the target is at this moment.
    ///
    /// - Throws: `ControlClient.Failure`
    func positions() async throws -> PositionsDocument { try await client.request { try $0.positions() } }

    /// Returns the positions if the same process as in `status` still follows its source.
    ///
    /// - Throws: `ControlClient.Failure`, `CutoverFailure`.
    func stablePositions() async throws -> PositionsDocument {
        let positions = try await positions()
        guard positions.pid == status.pid, positions.isStable else { throw Self.lost(positions) }
        return positions
    }

    static func lost(_ positions: PositionsDocument) -> CutoverFailure {
        CutoverFailure(
            "the task does not follow its source any more (\(positions.phase.rawValue)); its log says why", .notDone)
    }

    /// The note that the task has left at the target; `nil` if there is none.
    ///
    /// - Throws: `TargetError`
    func note() async throws(TargetError) -> CutOverNote? {
        let control = TargetControl(
            connector: TargetConnector(settings: settings.targetSettings(forCommand: "cutover")), role: "note")
        let key = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix).name
        let fields: [String: String]
        do throws(TargetError) { fields = try await control.hash(key) } catch {
            await control.close()
            throw error
        }
        await control.close()
        return fields[CheckpointKey.cutOverField].flatMap { CutOverNote($0) }
    }

    /// Asks the task to leave and not to start again, and waits until it has ended.
    ///
    /// - Throws: `ControlClient.Failure`
    func stop(
        timeout: Duration, drains: Bool, say: @escaping @Sendable (String) -> Void
    ) async throws -> TaskStop.Outcome {
        let stop = TaskStop(
            client.socket, timeout: timeout, force: false,
            stopRequest: TaskControl.Stop(drains: drains, isCutover: true))
        return try await client.onQueue { try stop.run(say) }
    }

    // MARK: systemd

    /// A loader with the credentials of the task's unit, which root may read while the unit runs.
    private static func loader(unit: String?) -> ConfigurationLoader {
        guard let unit, getenv("CREDENTIALS_DIRECTORY") == nil else { return ConfigurationLoader() }
        let folder = "/run/credentials/\(unit)"
        guard access(folder, R_OK | X_OK) == 0 else { return ConfigurationLoader() }
        return ConfigurationLoader(environment: ["CREDENTIALS_DIRECTORY": folder])
    }

    /// The service that a process belongs to.
    private static func unit(of process: Int32) -> String? {
        guard let groups = try? TextFile.read("/proc/\(process)/cgroup", limit: 64 << 10) else { return nil }
        // 0::/system.slice/system-df2redis.slice/df2redis@prod.service
        return groups.split(whereSeparator: \.isNewline).compactMap { $0.split(separator: "/").last }
            .first { $0.hasPrefix("df2redis@") && $0.hasSuffix(".service") }.map(String.init)
    }
}
