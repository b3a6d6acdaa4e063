import Dragonfly
import Link
import Logging
import Redis

extension ReplicatorSettings {
    /// How long it may take to give keys the source's exact deadlines.
    static let settleLimit = Duration.seconds(10)

    /// Where the source's deadlines are noted.
    var expiryFolder: String? { stateDirectory.map { "\($0)/\(task).expiry" } }
}

extension ReplicationSession {
    var importMode: ImportMode { ImportMode(control: control, checkpoint: checkpointKey, logger: logger) }

    /// Keeps the target from expiring keys before the stream does.
    ///
    /// - Parameter resume: where a continued session begins; `nil` for a full sync.
    func guardExpiry(_ session: SessionStateMachine.Session, resume: ResumePoint?) async throws {
        guard let folder = settings.expiryFolder else { return }
        if resume == nil { try BookFolder.remove(folder) }
        if isInImportMode {
            // Of a time without import mode.
            if resume != nil {
                _ = await ExpirySettler(folder: folder, control: control, logger: logger)
                    .run(within: ReplicatorSettings.settleLimit)
            }
            return try BookFolder.remove(folder)
        }
        try BookFolder.make(folder)
        let origin = "\(session.replicationID) \(session.flowCount)".utf8.reduce(Int64(0)) { $0 &* 31 &+ Int64($1) }
        for applier in appliers {
            try await applier.guardExpiry(
                in: "\(folder)/\(applier.flow)", origin: origin,
                continuingAt: resume?.nextLSNs[applier.flow.index].value, window: settings.expiryGuard,
                clock: settings.clock)
        }
    }

    /// The leave of a session that has not begun: what the one before has left.
    func settleExpiry() async {
        await importMode.end()
        guard let folder = settings.expiryFolder else { return }
        let left = await ExpirySettler(folder: folder, control: control, logger: logger)
            .run(within: ReplicatorSettings.settleLimit)
        if left > 0 { logger.warning("about \(left) keys are left with a TTL later than the source's") }
    }

    /// - Parameter drained: the flows that have applied everything.
    func settleExpiry(_ drained: Set<FlowID>, _ departure: Departure) async {
        if isInImportMode { return await importMode.end() }
        guard let folder = settings.expiryFolder else { return }
        for applier in appliers where !drained.contains(applier.flow) {
            departure.log(
                "TTLs near their end stay later than the source's, as not everything is applied", flow: applier.flow,
                level: .notice)
        }
        let limit = isHurried ? Duration.seconds(1) : ReplicatorSettings.settleLimit
        let left = await ExpirySettler(folder: folder, control: control, logger: logger)
            .run(flows: drained, within: limit)
        if left == 0 {
            departure.log("TTLs are the source's")
        } else {
            departure.log("about \(left) keys are left with a TTL later than the source's", level: .warning)
        }
    }
}

extension Replicator {
    /// The leave of a task that has no session, because it waits for its source.
    func settleExpiry() async {
        guard let folder = settings.expiryFolder else { return }
        let control = TargetControl(connector: TargetConnector(settings: settings.target))
        let left = await ExpirySettler(folder: folder, control: control, logger: logger)
            .run(within: ReplicatorSettings.settleLimit)
        if left > 0 { logger.warning("about \(left) keys are left with a TTL later than the source's") }
        await ImportMode(
            control: control, checkpoint: CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix),
            logger: logger
        ).end()
        await control.close()
    }
}
