import Dragonfly
import Link
import Logging
import Redis

extension ReplicatorSettings {
    /// How long it may take to give keys the source's exact deadlines, or not to reach the target: a part of the unit's
    /// TimeoutStopSec=.
    static let restoreLimit = Duration.seconds(10)
    /// How long the rest of a leave may take: what was received is applied, connections are closed, keys of our own removed.
    private static let leaveRest = Duration.seconds(8)

    /// How long a leave may take.
    package var leaveLimit: Duration { drain + finWait + Self.restoreLimit + Self.leaveRest }

    /// For the last words of a leave: a target that hangs must not hold it up.
    func partingControl(role: String) -> TargetControl {
        var target = target
        target.timeout = min(target.timeout, .seconds(2))
        return TargetControl(connector: TargetConnector(settings: target), role: role)
    }

    /// Milliseconds that a deadline at the target may be later than the source's, as long as the task runs and after it.
    package var ttlMargins: [Int64] {
        ExpiryGuard.margins(and: [ExpiryGuard.Window(expiryGuard).levelMargin])
    }

    /// Where the source's deadlines are noted.
    var expiryFolder: String? { stateDirectory.map { "\($0)/\(task).expiry" } }
}

extension ReplicatorSettings {
    /// Gives the target the source's deadlines, and its own clock again.
    ///
    /// - Parameters:
    ///   - flows: `nil`: all that have left something.
    ///   - importMode: `nil`: not known to this process.
    /// - Returns: `false` when some are left as they are, which has been reported.
    @discardableResult
    func restoreExactTTLs(
        of flows: Set<FlowID>? = nil, importMode: ImportMode.Owner?, within limit: Duration = restoreLimit,
        logger: Logger
    ) async -> Bool {
        let control = partingControl(role: "settling")
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
