package import Replication

extension Configuration {
    /// How a full sync treats the target's old data.
    package struct FullSync: Sendable, Equatable {
        package typealias Existing = ReplicatorSettings.Existing

        package var existing = Existing.auto
    }

    /// What happens to a key of the snapshot that the target already has.
    package struct Conflict: Sendable, Equatable {
        package typealias Policy = ReplicationPolicy.Conflict

        package var policy = Policy.overwrite
    }

    /// What happens to data that cannot be applied.
    package struct Policy: Sendable, Equatable {
        package typealias Reaction = ReplicationPolicy.Reaction
        package typealias MemberTTL = ReplicationPolicy.ElementExpiry

        /// For a command that the target answers with an error.
        package var onError = Reaction.stop
        /// For data that Redis has no equivalent for.
        package var onUnsupported = Reaction.stop

        /// For TTLs of set members, and of hash fields if the target has no TTLs for them.
        package var memberTTL = MemberTTL.timer
    }

    /// How keys are kept from expiring at the target before the source's stream expires them.
    package struct Expiry: Sendable, Equatable {
        /// How long target, network or daemon may be stopped without losing a key. With zero, keys are protected only
        /// during a lag that is seen.
        package var guardWindow = Duration.seconds(60)
    }

    /// Where the position in the stream is stored, so that a restart continues from it.
    package struct Checkpoint: Sendable, Equatable {
        package enum Store: String, Sendable, CaseIterable {
            /// In the target, in the transaction of the data itself: exactly once.
            case target
            /// In a file of its own: at least once.
            case file
        }

        package var isEnabled = true
        package var store = Store.target
        /// How often the checkpoint file is written.
        package var interval = Duration.seconds(10)
        /// The checkpoint file of `Store.file`.
        package var path = ""
        /// The task's key in the target is this prefix and the task's name.
        package var keyPrefix = "df2redis:checkpoint:"
    }
}
