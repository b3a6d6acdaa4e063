import Redis

/// Tasks of other names that follow the same source into the same target: what is applied once by each is applied twice.
struct RivalTasks {
    let registry: TaskRegistry
    let control: TargetControl

    /// Writes `claim` into this task's line, then looks whether another task's process follows the same source. Of two that do
    /// so at the same time the one goes on that has written first.
    ///
    /// - Throws: `TargetError`; `taskTaken` when another one follows it: then nothing is left of the claim.
    func demandNone(beside claim: SourceClaim) async throws(TargetError) {
        let before = registry.claim(claim)
        let others = try await control.exchangeLines(registry)
        guard let rival = try await rival(of: claim, among: others) else { return }
        registry.withdraw(to: before == .claimed(claim) ? nil : before)
        // Should that fail: without the owner's record, which goes with the process, it means nothing.
        try? await control.renew(registry)
        throw rival.refusal
    }

    /// The same, of a task that is not to begin yet: nothing is written.
    func demandNone(following replicationID: String, filling scope: DatabaseScope) async throws(TargetError) {
        let claim = SourceClaim(replicationID: replicationID, instance: "", scope: scope)
        if let rival = try await rival(of: claim, among: try await control.others(in: registry)) { throw rival.refusal }
    }

    /// A task's process that follows the source already.
    private struct Rival {
        var checkpoint: String
        /// Its owner's record.
        var owner: String

        var refusal: TargetError {
            TargetError(
                .taskTaken,
                "\(OwnershipRecord.description(of: owner)) follows the same source into this target already, with the "
                    + "checkpoint \(checkpoint): two tasks would apply each command twice. Stop that one, or give this one "
                    + "another target, or name in target.database of both which databases each keeps and skips, such that "
                    + "none is kept by both")
        }
    }

    /// The first by its checkpoint's key.
    private func rival(
        of claim: SourceClaim, among others: OtherTasks
    ) async throws(TargetError) -> Rival? {
        for (checkpoint, source) in others.sources.sorted(by: { $0.key < $1.key }) {
            guard try await mayCollide(claim, checkpoint, source) else { continue }
            guard let owner = try await control.owner(ofCheckpoint: checkpoint) else { continue }
            // What an earlier process of that task has followed means nothing: its present one comes to look, and finds this one.
            if case .claimed(let other) = source, other.instance != OwnershipRecord.instance(of: owner) { continue }
            return Rival(checkpoint: checkpoint, owner: owner)
        }
        return nil
    }

    private func mayCollide(
        _ claim: SourceClaim, _ checkpoint: String, _ source: FollowedSource
    ) async throws(TargetError) -> Bool {
        switch source {
        case .none: return false
        case .claimed(let other): return other.collides(with: claim)
        // Of an earlier version the positions say it, where it has some in the target.
        case .unsaid:
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
