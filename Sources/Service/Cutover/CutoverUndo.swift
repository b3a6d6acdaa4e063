import Dragonfly
import Redis
import Replication

/// `df2redis cutover --undo`: lets a task start again that has been cut over.
package struct CutoverUndo: Sendable {
    private static let configurations = "/etc/df2redis"

    private let configuration: Configuration
    private let directory: RuntimeDirectory

    /// - Parameter file: `nil`: the task's in /etc/df2redis.
    /// - Throws: `ConfigurationError`
    package init(
        task: String, configurationFile file: String?, in directory: RuntimeDirectory = RuntimeDirectory()
    ) throws {
        let file = file ?? "\(Self.configurations)/\(task).yaml"
        configuration = try ConfigurationLoader().load(file, taskName: task).configuration
        self.directory = directory
    }

    /// - Returns: what was done, for the operator.
    /// - Throws: `CutoverFailure`
    package func run() async throws(CutoverFailure) -> String {
        let settings = ReplicatorSettings(configuration, mode: .replicate)
        let control = TargetControl(
            connector: TargetConnector(settings: settings.visitor("cutover")), role: "undo")
        do {
            let key = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix).name
            let wasNoted = try await control.hash(key)[CheckpointKey.cutOverField] != nil
            if wasNoted { try await control.update(key, set: [:], remove: [CheckpointKey.cutOverField]) }
            await control.close()
            let mark = CutoverMark(configuration)
            let wasSet = mark.isSet
            try mark.remove()
            guard wasNoted || wasSet else { return "\(settings.task) has not been cut over: nothing was changed" }
            return
                "\(settings.task) may start again: it follows \(settings.source.endpoint), and overwrites at \(settings.target.place) what clients have written there"
        } catch {
            await control.close()
            let error = ReplicationError(error)
            throw CutoverFailure(error.description, error.exitCode)
        }
    }
}
