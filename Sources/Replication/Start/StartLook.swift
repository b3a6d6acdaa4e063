import Dragonfly
import Glibc
import Link
import Logging
import Redis

/// Finds out what the next start of a task will do. It writes nothing and creates no session at the source.
package struct StartLook {
    private let settings: ReplicatorSettings
    private let checkpoint: CheckpointKey

    /// - Parameter settings: the settings of a task that would replicate, with the target as a command connects to it.
    package init(_ settings: ReplicatorSettings) {
        self.settings = settings
        checkpoint = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
    }

    /// - Parameter targetRunID: the run id of the target's process.
    /// - Throws: `ReplicationError`; an error with `.configuration` would also end a start.
    package func outlook(targetRunID: String) async throws(ReplicationError) -> StartOutlook {
        let inspector = SourceInspector(settings: settings.source, socketStore: NoSocketStore())
        let connector = TargetConnector(settings: settings.target)
        let control = TargetControl(connector: connector, role: "start")
        let outlook: Result<StartOutlook, ReplicationError>
        do {
            var opening = try await opening(on: control, targetRunID: targetRunID)
            var target = try await target(opening, on: control)
            if let cluster = connector.cluster, settings.checkpoint.store == .target, let position = opening.position {
                opening.position = try await nodesSay(position, opening.fields, on: control, of: cluster)
                if opening.position == nil { (opening.position, target.blocker) = (position, .nodeIncomplete) }
            } else {
                target.blocker = try await opening.emptied(
                    of: checkpoint, in: settings.checkpoint.store, on: control)
            }
            let forecast = StartForecast(
                settings: settings, checkpoint: opening, source: try await source(inspector), target: target)
            outlook = .success(forecast.outlook)
        } catch {
            outlook = .failure(ReplicationError(error))
        }
        await control.close()
        await inspector.close()
        return try outlook.get()
    }

    // MARK: The source

    private func source(_ inspector: SourceInspector) async throws(SourceError) -> StartForecast.Source {
        guard let replicationID = try await inspector.replicationID() else {
            throw SourceError(.protocolViolation, "the source does not give its replication id")
        }
        let figures = try await inspector.figures()
        if figures.isLoading { throw SourceError(.loading, "the source is loading its data") }
        return StartForecast.Source(
            replicationID: replicationID, nextLSNs: figures.nextLSNs, keys: figures.keys,
            calls: try? await inspector.calls(), version: try await inspector.version())
    }

    // MARK: The target

    private func opening(on control: TargetControl, targetRunID: String) async throws -> CheckpointStore.Opening {
        try requireReadableState()
        let registry = TaskRegistry(checkpoint: checkpoint.name)
        // The task's own line in the registry shows what a cluster's checkpoint may have lost.
        _ = try await control.others(in: registry)
        let store = CheckpointStore(
            task: settings.task, settings: settings.checkpoint, registry: registry,
            logger: Logger(label: "df2redis.start") { _ in SwiftLogNoOpLogHandler() })
        return try await store.open(
            try await control.hash(checkpoint.name), held: try await control.databasesWithKeys(), on: control,
            targetRunID: targetRunID)
    }

    /// - Throws: `SystemError` if this user's permissions hide whether the files exist that keep the position or give it
    ///   up.
    private func requireReadableState() throws(SystemError) {
        for path in [settings.checkpoint.path, settings.checkpoint.resyncMark?.path].compactMap(\.self)
        where access(path, F_OK) != 0 && errno == EACCES {
            throw SystemError("access", errno: EACCES, peer: path)
        }
    }

    private func target(
        _ opening: CheckpointStore.Opening, on control: TargetControl
    ) async throws(TargetError) -> StartForecast.Target {
        var target = StartForecast.Target()
        for database in try await control.databasesWithKeys() {
            let count = try await control.dataKeyCount(
                database: database, checkpoint: checkpoint.name, task: settings.task)
            if count > 0 { target.keys[database] = count }
        }
        target.others = try await control.others(in: TaskRegistry(checkpoint: checkpoint.name))
        return target
    }

    /// The position to which the flows will go back according to the marks of a cluster's nodes.
    ///
    /// - Returns: `nil` if a node lacks writes that no record will bring again.
    private func nodesSay(
        _ position: ResumePoint, _ fields: [String: String], on control: TargetControl, of cluster: ClusterConnector
    ) async throws(TargetError) -> ResumePoint? {
        let topology = try await cluster.current().topology
        var marks: [KeySlot: [String: String]] = [:]
        var position = position
        for index in position.nextLSNs.indices {
            let flow = FlowID(index)
            let watch = NodeWatch(text: fields[ClusterFields.nodes(flow)] ?? "")
            let crossing = fields[ClusterFields.crossing(flow)].flatMap { CrossingNote(text: $0) }
            for slot in watch.expectedSlots {
                if marks[slot] == nil {
                    let key = SlotTag.key(SlotMark.nodeKey(task: settings.task), in: slot)
                    marks[slot] = try await control.hash(String(decoding: key, as: UTF8.self))
                }
                let mark = marks[slot]?["\(flow)"].flatMap { SlotMark($0) }
                let verdict = watch.check(mark, in: slot, of: topology)
                if verdict == .complete { continue }
                guard
                    let restart = verdict.restart(
                        of: position.replicationID, before: position.nextLSNs[index].value, after: crossing)
                else { return nil }
                position.nextLSNs[index] = LSN(restart)
            }
        }
        return position
    }
}
