import Dragonfly
import Redis

/// Where the session's flows stand together.
extension ReplicationSession {
    /// What all flows have applied, as one unit: no flow is between the two sides of a global command, since those are
    /// handled by the same loop. `nil` before the stable stream.
    var position: ResumePoint? {
        let nextLSNs = progress.compactMap(\.appliedLSN)
        guard let id = replicationID, !nextLSNs.isEmpty, nextLSNs.count == appliers.count else { return nil }
        return ResumePoint(replicationID: id, nextLSNs: nextLSNs)
    }

    /// The disk last: the source has been left by now.
    func closeAppliers(isExact: Bool) async {
        for applier in appliers { await applier.close() }
        if let position { await checkpointStore.store(position, isExact: isExact) }
    }

    func storePosition(_ ticks: Int) {
        guard case .file(let interval) = settings.checkpoint.store, let position,
            ticks % max(Int(interval.components.seconds), 1) == 0
        else { return }
        checkpointStore.storeSoon(position)
    }

    func positionAfterGlobal() async -> ResumePoint {
        var position = ResumePoint(replicationID: replicationID ?? "", nextLSNs: [])
        for applier in appliers { position.nextLSNs.append(await applier.positionAfterGlobal) }
        return position
    }

    /// What a global command stores with it: the target forgets all else that it knew of the task.
    func checkpointFields(_ position: ResumePoint) -> [(field: String, value: String)] {
        let own = importModeStanding == .ours ? [(field: ImportMode.field.name, value: ImportMode.field.value)] : []
        guard settings.checkpoint.store == .target else { return own }
        let fields = position.nextLSNs.enumerated().map { index, next in
            (field: checkpointKey.field(FlowID(index)), value: position.text(next))
        }
        return fields + recordFields + own
    }

    /// What the source has by now is as far as anything can have been applied, or been waiting, before.
    func tellWhereCatchingUpEnds(isNeeded: Bool) async throws {
        var isNeeded = isNeeded
        for applier in appliers where await applier.hasElementExpiries { isNeeded = true }
        let ends =
            isNeeded
            ? try await nextLSNs(of: settings.source, flowCount: appliers.count)
            : appliers.map { _ in LSN(0) }
        for (applier, end) in zip(appliers, ends) { await applier.catchesUp(until: end) }
    }
}
