/// What the next start of a task will do, as far as both servers show it beforehand.
package enum StartOutlook: Equatable, Sendable {
    /// The task resumes at its position.
    ///
    /// - Parameters:
    ///   - records: the number of records that the flow with the largest lag must get from the source.
    ///   - otherwise: the full sync that follows if the source no longer has these records.
    case continues(records: UInt64, otherwise: FullSyncOutlook)
    case fullSync(FullSyncOutlook)
    /// The task has been cut over and does not start.
    case cutOver
}

/// What a full sync will do to the target's keys.
package struct FullSyncOutlook: Equatable, Sendable {
    package enum Effect: Equatable, Sendable {
        /// The source's keys replace those of the same name; other keys stay.
        case replaces
        /// As `replaces`; in addition, keys that the source does not have are removed from these databases.
        case removes(from: Set<UInt32>)
        /// These databases are emptied first.
        case empties(Set<UInt32>)
        /// The full sync is refused, because `conflict.policy` cannot distinguish the task's own keys from others.
        case refusesConflict
        /// The full sync ends before it removes anything, because the source has hardly any keys compared to those that it
        /// would remove from these databases.
        case refusesLoss(of: Set<UInt32>)
    }

    /// The reason for the full sync; `nil` if it is the task's first.
    package var reason: String?
    package var effect: Effect
    /// The number of the target's keys by database, without df2redis' own.
    package var targetKeys: [UInt32: Int]
    package var sourceKeys: Int
    /// Other tasks fill the target too.
    package var hasOtherTasks: Bool

    package init(
        reason: String?, effect: Effect, targetKeys: [UInt32: Int], sourceKeys: Int, hasOtherTasks: Bool = false
    ) {
        self.reason = reason
        self.effect = effect
        self.targetKeys = targetKeys
        self.sourceKeys = sourceKeys
        self.hasOtherTasks = hasOtherTasks
    }
}
