/// What the next start of a task will do, as far as both servers say it before.
package enum StartOutlook: Equatable, Sendable {
    /// It goes on where the target is.
    ///
    /// - Parameters:
    ///   - records: that the flow which is the farthest back has to get from the source.
    ///   - otherwise: if the source does not have them any more.
    case continues(records: UInt64, otherwise: FullSyncOutlook)
    case fullSync(FullSyncOutlook)
    /// The task has been cut over: it does not start.
    case cutOver
}

/// What a full sync will do to what the target holds.
package struct FullSyncOutlook: Equatable, Sendable {
    package enum Effect: Equatable, Sendable {
        /// Keys that the source has replace those of the target; others stay.
        case replaces
        /// The same, and what the source does not have is removed from these databases.
        case removes(from: Set<UInt32>)
        /// These databases are emptied first.
        case empties(Set<UInt32>)
        /// It is refused: the task's own keys are not to be distinguished from others by `conflict.policy`.
        case refusesConflict
        /// It ends before it removes anything: the source has hardly a key for those that it would remove from these databases.
        case refusesLoss(of: Set<UInt32>)
    }

    /// Why; `nil`: it is the task's first.
    package var reason: String?
    package var effect: Effect
    /// Keys of the target, none of df2redis' own, by database.
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
