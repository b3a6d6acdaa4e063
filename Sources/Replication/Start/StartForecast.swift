import Dragonfly
import Redis
package import Wire

/// Predicts what the start of a task will do, using the decisions of a session's opening. Pure.
struct StartForecast {
    /// What the source reports about itself.
    struct Source: Equatable {
        var replicationID: String
        /// The next LSN of each shard.
        var nextLSNs: [LSN]
        var keys: [UInt32: Int] = [:]
        /// `nil` if the source does not report it.
        var calls: SourceCalls?
        /// `nil` if the source is not a release.
        var version: SourceVersion?
    }

    /// The contents of the target.
    struct Target: Equatable {
        /// The number of keys by database, without df2redis' own.
        var keys: [UInt32: Int] = [:]
        var others = OtherTasks(databases: [:])
        /// Why the target does not hold the data that the position means: nodes of a cluster lack writes that no
        /// record will bring again, or a database was emptied.
        var blocker: FullSyncReason?
    }

    let settings: ReplicatorSettings
    /// The checkpoint. If nodes of a cluster lack records, it has the position to which the flows will go back.
    let checkpoint: CheckpointStore.Opening
    let source: Source
    let target: Target

    var outlook: StartOutlook {
        if checkpoint.isCutOver { return .cutOver }
        let decision = ResumeDecision(checkpoint, calls: source.calls, blocker: target.blocker)
        let reason = FullSyncReason(
            checkpoint, replicationID: source.replicationID, flowCount: source.nextLSNs.count, hasFollowed: false,
            resumeBlocker: decision.blocker)
        let fullSync = fullSync(reason)
        guard let position = decision.position, let records = records(since: position) else {
            return .fullSync(fullSync)
        }
        return .continues(records: records, otherwise: fullSync)
    }

    /// - Returns: the number of records that the flow with the largest lag must get; `nil` if the source cannot continue at the
    ///   position.
    private func records(since position: ResumePoint) -> UInt64? {
        guard position.replicationID == source.replicationID, position.nextLSNs.count == source.nextLSNs.count,
            source.version.map({ $0 >= .continuing }) ?? true
        else { return nil }
        let ends = zip(position.nextLSNs, source.nextLSNs)
        // If the position is ahead of the source, the source has lost the records before it.
        guard ends.allSatisfy({ $0 <= $1 }) else { return nil }
        return ends.map { $1.value - $0.value }.max() ?? 0
    }

    // MARK: The full sync

    private func fullSync(_ reason: FullSyncReason?) -> FullSyncOutlook {
        FullSyncOutlook(
            reason: reason.map { "\($0)" }, effect: effect, targetKeys: target.keys,
            sourceKeys: source.keys.filter { !settings.policy.skippedDatabases.contains($0.key) }.values.reduce(0, +),
            hasOtherTasks: !target.others.filling.isEmpty)
    }

    private var effect: FullSyncOutlook.Effect {
        if settings.takesOwnKeysForOthers(after: checkpoint) { return .refusesConflict }
        let before = FilledDatabases(checkpoint)
        let after = filled(after: before)
        switch settings.existing {
        case .flush: return .empties(alone(after.known))
        case .auto, .reconcile, .replace:
            guard settings.existing.reconciles(before, wasPending: checkpoint.isReconciling) else { return .replaces }
            let present = settings.existing.reconciled(before)
            if settings.existing == .auto, isLoss(of: present) { return .refusesLoss(of: present) }
            return .removes(from: alone(settings.existing.reconciled(after)))
        }
    }

    /// The databases that the task will have filled after the full sync.
    private func filled(after before: FilledDatabases) -> FilledDatabases {
        var filled = before
        for database in Set(source.keys.keys).subtracting(settings.policy.skippedDatabases).subtracting(before.all) {
            filled.setFilling(database, over: target.keys[database] ?? 0)
        }
        filled.markNoted(filled.all)
        return filled
    }

    /// The databases among `databases` that hold keys and that no other task fills.
    private func alone(_ databases: Set<UInt32>) -> Set<UInt32> {
        databases.filter { target.keys[$0] ?? 0 > 0 && !target.others.fill($0) }
    }

    /// Whether `ReconciliationRun.refuseLoss` will refuse the removal.
    private func isLoss(of databases: Set<UInt32>) -> Bool {
        let keys = databases.reduce(0) { $0 + (target.keys[$1] ?? 0) }
        let brought = source.keys.filter { !settings.policy.skippedDatabases.contains($0.key) }.values.reduce(0, +)
        if brought == 0 { return keys > 0 && !alone(databases).isEmpty }
        guard PreviousSource(checkpoint.source, next: source.replicationID) != nil else { return false }
        return RemovalGuard.forbids(bringing: brought, over: keys)
    }
}

extension SourceVersion {
    /// The first release that continues a replica's stream after the replica was away.
    package static let continuing = SourceVersion(1, 35, 0)
}
