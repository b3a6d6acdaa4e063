import Base
import Dragonfly
import Glibc
import Link
import Redis
import Replication

/// `df2redis cutover --undo`: lets a task start again after a cut-over.
package struct CutoverUndo: Sendable {
    /// The configuration file of a task if the operator names none.
    static func standardFile(of task: String) -> String { "/etc/df2redis/\(task).yaml" }

    private let configuration: Configuration
    private let directory: RuntimeDirectory

    /// - Parameter file: the task's configuration; `nil` for the one in /etc/df2redis.
    /// - Throws: `ConfigurationError`
    package init(
        task: String, configurationFile file: String?, in directory: RuntimeDirectory = RuntimeDirectory()
    ) throws {
        let file = file ?? Self.standardFile(of: task)
        configuration = try ConfigurationLoader().load(file, taskName: task).configuration
        self.directory = directory
    }

    /// Invalidates the task's position, then removes the marks of the cut-over.
    ///
    /// The position goes first, wherever it is stored: clients have written to the target, so what the source has journaled
    /// since no longer describes how the two sides differ.
    ///
    /// - Returns: what was done, for the operator.
    /// - Throws: `CutoverFailure`
    package func run() async throws(CutoverFailure) -> String {
        let settings = ReplicatorSettings(configuration, mode: .replicate)
        try refuseRunning(settings.task)
        if case .unknown(let error) = CutoverMark(configuration).state {
            throw CutoverFailure(
                "whether the task was cut over cannot be seen by this user: \(error); nothing was changed (run it as root)",
                error.errno == EACCES ? .notPermitted : .fileFailed)
        }
        let control = TargetControl(
            connector: TargetConnector(settings: settings.targetSettings(forCommand: "cutover")), role: "undo")
        do {
            let isUndone = try await undo(settings, on: control)
            await control.close()
            guard isUndone else { return "\(settings.task) has not been cut over: nothing was changed" }
            return
                "\(settings.task) may start again, with a full sync: what clients have written at \(settings.target.place) is "
                + "overwritten with what \(settings.source.endpoint) has, and \(Self.rest(configuration.fullSync.existing))"
        } catch {
            await control.close()
            if let failure = error as? CutoverFailure { throw failure }
            let error = ReplicationError(error)
            throw CutoverFailure("\(error.description); the task does not start yet: undo it again", error.exitStatus)
        }
    }

    /// - Returns: `false` if there was nothing to undo.
    private func undo(_ settings: ReplicatorSettings, on control: TargetControl) async throws -> Bool {
        let key = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix).name
        let mark = CutoverMark(configuration)
        let fields: Set<String>
        do throws(TargetError) { fields = Set(try await control.hash(key).keys) } catch {
            guard mark.state == .notSet else { throw error }
            throw CutoverFailure(
                "\(error); whether the task was cut over cannot be looked up there: nothing was changed",
                ReplicationError(error).exitStatus)
        }
        let wasNoted = fields.contains(CheckpointKey.cutOverField)
        guard wasNoted || mark.isSet else { return false }
        do throws(SystemError) {
            try settings.checkpoint.resyncMark?.set()
        } catch {
            // Another host may lack the folder; then no position is in it either.
            guard error.errno == ENOENT else { throw error }
        }
        // Remove the positions at the target too: the task may start on another host, or with another state directory.
        let positions = fields.filter { $0.hasPrefix("flow:") }
        if wasNoted || !positions.isEmpty {
            try await control.update(key, set: [:], remove: [CheckpointKey.cutOverField] + positions)
        }
        try mark.remove()
        return true
    }

    /// Refuses if the task still runs, because a task that is leaving would write its position after us.
    private func refuseRunning(_ task: String) throws(CutoverFailure) {
        for socket in directory.sockets(of: task) {
            let listener: String
            do { listener = "process \(try ControlClient(socket).processID())" } catch .notRunning { continue } catch {
                listener = "a process (\(error))"
            }
            throw CutoverFailure(
                "\(listener) runs the task: wait for its end; nothing was changed", .alreadyRunning)
        }
    }

    /// What happens to keys that the source does not have, for the operator.
    private static func rest(_ existing: ReplicatorSettings.Existing) -> String {
        switch existing {
        case .auto: "keys that it lacks are removed, in databases that are the task's alone"
        case .reconcile: "keys that it lacks are removed"
        case .flush: "everything else is removed"
        case .replace: "keys that it lacks stay (fullSync.existing is replace)"
        }
    }
}
