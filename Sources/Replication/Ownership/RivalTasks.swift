import Redis

/// Tasks of other names that follow the same source into the same target: what is applied once by each is applied twice.
struct RivalTasks {
    let others: OtherTasks
    let control: TargetControl

    /// A task that keeps its position in a file is not recognised: the target does not say what it follows.
    ///
    /// - Parameter replicationID: of the source that this task is about to follow.
    /// - Throws: `TargetError`; `taskTaken` when a process that runs follows it for another task.
    func demandNone(following replicationID: String) async throws(TargetError) {
        for checkpoint in others.databases.keys.sorted() {
            let fields = try await control.hash(checkpoint)
            guard fields.contains(where: { isPosition($0.key, $0.value, of: replicationID) }) else { continue }
            guard let owner = try await control.owner(ofCheckpoint: checkpoint) else { continue }
            throw TargetError(
                .taskTaken,
                "\(OwnershipRecord.description(of: owner)) follows the same source into this target already, with the "
                    + "checkpoint \(checkpoint): two tasks would apply each command twice. Stop that one, or give this one "
                    + "another target")
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
