import Redis

/// What to do where the data or the target leaves a choice.
package struct ReplicationPolicy: Equatable, Sendable {
    package enum Reaction: String, Sendable, CaseIterable { case stop, skip }
    package enum Conflict: String, Sendable, CaseIterable { case overwrite, skip, panic }
    package enum ElementExpiry: String, Sendable, CaseIterable {
        /// Kept beside the data and ended by this task, as long as it runs.
        case timer
        /// As data that has no equal: `onUnsupported`.
        case unsupported
    }

    /// The target refuses a command.
    package var onError = Reaction.stop
    /// The target has no equal for something.
    package var onUnsupported = Reaction.stop
    /// Databases of the source whose keys are left out.
    package var skippedDatabases: Set<UInt32> = []
    /// Databases that the configuration names as kept.
    package var namedDatabases: Set<UInt32> = []
    /// A key of the snapshot is in the target already.
    package var onConflict = Conflict.overwrite
    /// TTLs of set members, and of hash fields where the target has none (`keepsElements`).
    package var elementExpiry = ElementExpiry.timer

    package init() {}

    /// The databases of the target that the task may fill. Where the configuration names some, one that it does not name counts
    /// when the stream comes to it (`TaskLease.claimDatabases`).
    ///
    /// - Parameter known: those that it has filled.
    func scope(over known: Set<UInt32>) -> DatabaseScope {
        guard !namedDatabases.isEmpty else { return .all(except: skippedDatabases) }
        return .only(namedDatabases.union(known).subtracting(skippedDatabases))
    }

    /// TTLs of elements are kept beside the data: those of fields also where the target keeps them too, since its own clock is
    /// not the stream's. It takes scripts.
    func keepsElements(of target: TargetProfile) -> Bool {
        target.hasScripts && (elementExpiry == .timer || target.hasFieldExpiry)
    }
}
