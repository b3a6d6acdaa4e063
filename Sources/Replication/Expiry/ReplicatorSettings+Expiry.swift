import Dragonfly
import Link
import Logging
import Redis

extension ReplicatorSettings {
    /// The time limit for giving keys the source's exact deadlines, even if the target cannot be reached. It is part of the
    /// unit's TimeoutStopSec=.
    static let restoreLimit = Duration.seconds(10)
    /// The time limit for the rest of a leave: applying what was received, closing connections and removing df2redis' own
    /// keys.
    private static let leaveRest = Duration.seconds(8)

    /// The time limit for a leave.
    package var leaveLimit: Duration { drain + finWait + Self.restoreLimit + Self.leaveRest }

    /// Returns a control connection for the last requests of a leave, with a short timeout: a target that hangs must not
    /// delay the leave.
    func controlForLeave(role: String) -> TargetControl {
        var target = target
        target.timeout = min(target.timeout, .seconds(2))
        return TargetControl(connector: TargetConnector(settings: target), role: role)
    }

    /// The margins in milliseconds by which a deadline in the target may be later than the source's, while the task runs
    /// and after it.
    package var ttlMargins: [Int64] {
        ExpiryGuard.margins(and: [ExpiryGuard.Window(expiryGuard).levelMargin])
    }

    /// The folder where the source's deadlines are noted.
    var expiryFolder: String? { stateDirectory.map { "\($0)/\(task).expiry" } }
}

extension ReplicatorSettings {
    /// Gives the target the source's deadlines, and ends its import mode.
    ///
    /// - Parameters:
    ///   - flows: the flows to restore; `nil` for all that have left notes.
    ///   - importMode: who has switched the import mode on; `nil` if this process does not know.
    /// - Returns: `false` if some deadlines are left later than the source's, which has been logged.
    @discardableResult
    func restoreExactTTLs(
        of flows: Set<FlowID>? = nil, importMode: ImportMode.Owner?, within limit: Duration = restoreLimit,
        logger: Logger
    ) async -> Bool {
        let control = controlForLeave(role: "settling")
        var unfinished: [FlowID] = []
        if let expiryFolder, flows?.isEmpty != true {
            let restorer = ExactTTLRestorer(
                folder: expiryFolder, control: control, logger: logger, clock: clock,
                dueMargin: mode == .migrate ? 0 : ExpiryGuard.leaveMargin)
            unfinished = await restorer.run(flows: flows, within: limit)
        }
        for flow in unfinished {
            logger.warning(
                "keys near their end are left with a TTL later than the source's",
                metadata: ["flow": "\(flow)", "phase": "leaving"])
        }
        await endImportMode(importMode, on: control, logger: logger)
        await control.close()
        return unfinished.isEmpty
    }

    func endImportMode(_ owner: ImportMode.Owner?, on control: TargetControl, logger: Logger) async {
        let key = CheckpointKey(task: task, prefix: checkpoint.keyPrefix)
        await ImportMode(control: control, checkpoint: key, logger: logger).end(owner)
    }
}
