import Redis

/// Finds tasks of other names that follow the same source into the same target, which would apply every record twice, and
/// those that were cut over: clients write to the target since.
struct RivalTasks {
    let registry: TaskRegistry
    let control: TargetControl

    /// Writes `claim` into this task's entry, then looks whether another task's process follows the same source. Of two that do
    /// so at the same time the one goes on that has written first.
    ///
    /// - Throws: `TargetError`; `taskTaken` if another process follows the source, `cutOver` if a task that followed it was cut
    ///   over. The claim is withdrawn then.
    func requireNone(rivaling claim: SourceClaim) async throws(TargetError) {
        let before = registry.claim(claim)
        let others = try await control.exchangeEntries(registry)
        guard let rival = try await rival(of: claim, among: others) else { return }
        registry.withdraw(to: before == .claimed(claim) ? nil : before)
        // A failure here does no harm: the line means nothing without the owner record, which goes with the process.
        try? await control.renew(registry)
        throw rival.refusal
    }

    /// Makes the same check for a task that does not start yet. Writes nothing.
    func requireNone(following replicationID: String, filling scope: DatabaseScope) async throws(TargetError) {
        let claim = SourceClaim(replicationID: replicationID, instance: "", scope: scope)
        if let rival = try await rival(of: claim, among: try await control.others(in: registry)) { throw rival.refusal }
    }

    private enum Rival {
        /// A task whose process already follows the source.
        ///
        /// - Parameter owner: the owner record of that task.
        case running(checkpoint: String, owner: String)
        case cutOver(checkpoint: String)

        var refusal: TargetError {
            switch self {
            case .running(let checkpoint, let owner):
                TargetError(
                    .taskTaken,
                    "\(OwnershipRecord.description(of: owner)) follows the same source into this target already, with the "
                        + "checkpoint \(checkpoint): two tasks would apply each command twice. Stop that one, or give this one "
                        + "another target, or name in target.database of both which databases each keeps and skips, such that "
                        + "none is kept by both")
            case .cutOver(let checkpoint):
                TargetError(
                    .cutOver,
                    "a task of another name, with the checkpoint \(checkpoint), has been cut over from the same source: clients "
                        + "write to this target since, and to follow the source again would overwrite what they have written. To "
                        + "follow it all the same: df2redis cutover \(Self.task(of: checkpoint)) --undo --config FILE")
            }
        }

        /// - Parameter checkpoint: its key, whose prefix may be another one in that task's configuration.
        private static func task(of checkpoint: String) -> Substring {
            checkpoint.hasPrefix(CheckpointKey.prefix) ? checkpoint.dropFirst(CheckpointKey.prefix.count) : "TASK"
        }
    }

    /// The first rival in the order of the checkpoint keys.
    private func rival(
        of claim: SourceClaim, among others: OtherTasks
    ) async throws(TargetError) -> Rival? {
        for (checkpoint, source) in others.sources.sorted(by: { $0.key < $1.key }) {
            guard try await mayCollide(claim, checkpoint, source) else { continue }
            if try await control.hash(checkpoint)[CheckpointKey.cutOverField] != nil {
                return .cutOver(checkpoint: checkpoint)
            }
            guard let owner = try await control.owner(ofCheckpoint: checkpoint) else { continue }
            // A claim of an earlier process of that task means nothing. Its current process will make this check too and
            // find this task.
            if case .claimed(let other) = source, other.instance != OwnershipRecord.instance(of: owner) { continue }
            return .running(checkpoint: checkpoint, owner: owner)
        }
        return nil
    }

    private func mayCollide(
        _ claim: SourceClaim, _ checkpoint: String, _ source: FollowedSource
    ) async throws(TargetError) -> Bool {
        switch source {
        case .refused: return false
        case .claimed(let other): return other.collides(with: claim)
        // A task of an earlier version. Its positions name the source, if they are in the target.
        case .unknown:
            return try await control.hash(checkpoint).contains {
                isPosition($0.key, $0.value, of: claim.replicationID)
            }
        }
    }

    private func isPosition(_ field: String, _ value: String, of replicationID: String) -> Bool {
        guard field.hasPrefix("flow:") else { return false }
        return switch CheckpointValue(value) {
        case .stable(replicationID, _, _), .snapshot(replicationID, _, _): true
        default: false
        }
    }
}
