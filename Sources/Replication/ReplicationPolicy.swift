import Redis

/// What to do when the data or the target leaves a choice.
package struct ReplicationPolicy: Equatable, Sendable {
    package enum Reaction: String, Sendable, CaseIterable { case stop, skip }
    package enum Conflict: String, Sendable, CaseIterable { case overwrite, skip, panic }
    package enum ElementExpiry: String, Sendable, CaseIterable {
        /// The TTL is kept beside the data, and this task ends the element while it runs.
        case timer
        /// The TTL is treated as data that the target does not support (`onUnsupported`).
        case unsupported
    }

    /// The reaction if the target refuses a command.
    package var onError = Reaction.stop
    /// The reaction if the target does not support something.
    package var onUnsupported = Reaction.stop
    /// Databases of the source whose keys are not replicated.
    package var skippedDatabases: Set<UInt32> = []
    /// Databases that the configuration names as kept.
    package var namedDatabases: Set<UInt32> = []
    /// The reaction if the target already has a key of the snapshot.
    package var onConflict = Conflict.overwrite
    /// The handling of TTLs of set members, and of hash fields if the target has no TTLs for them (`keepsElements`).
    package var elementExpiry = ElementExpiry.timer

    package init() {}

    /// The databases of the target that the task may fill. If the configuration names some, any other database is added
    /// when the stream reaches it (`TaskLease.claimDatabases`).
    ///
    /// - Parameter known: the databases that the task has filled.
    func scope(over known: Set<UInt32>) -> DatabaseScope {
        guard !namedDatabases.isEmpty else { return .all(except: skippedDatabases) }
        return .only(namedDatabases.union(known).subtracting(skippedDatabases))
    }

    /// Whether df2redis keeps the TTLs of elements beside the data. It does so for hash fields even if the target can keep
    /// them, because the target's own clock is not the stream's. This needs scripts.
    func keepsElements(of target: TargetProfile) -> Bool {
        target.hasScripts && (elementExpiry == .timer || target.hasFieldExpiry)
    }
}
