extension Configuration {
    /// What becomes of the target's old data when a full sync begins.
    package struct FullSync: Sendable, Equatable {
        package enum Existing: String, Sendable, CaseIterable {
            /// `replace` in a task's first full sync, `reconcile` in later ones into a target that it has filled.
            case auto
            /// Keys of the snapshot replace those of the target, others stay.
            case replace
            /// The databases are emptied first.
            case flush
            /// Keys that the source no longer has are removed at the end of the snapshot.
            case reconcile
        }

        package var existing = Existing.auto
    }

    /// What happens to a key of the snapshot that the target already has.
    package struct Conflict: Sendable, Equatable {
        package enum Policy: String, Sendable, CaseIterable {
            case overwrite
            case skip
            case panic
        }

        package var policy = Policy.overwrite
    }

    /// What happens to data that cannot be applied.
    package struct Policy: Sendable, Equatable {
        package enum Reaction: String, Sendable, CaseIterable {
            case stop
            case skip
        }

        /// For a command that the target answers with an error.
        package var onError = Reaction.stop
        /// For data that Redis has no equal for.
        package var onUnsupported = Reaction.stop

        package enum MemberTTL: String, Sendable, CaseIterable {
            /// Ended by a timer of our own.
            case timer
            /// Treated as data that Redis has no equal for.
            case unsupported
        }

        /// For TTLs of set members, and of hash fields where the target has none.
        package var memberTTL = MemberTTL.timer
    }

    /// How keys are kept from expiring at the target before the source's stream expires them.
    package struct Expiry: Sendable, Equatable {
        /// How long target, network or daemon may be stopped without losing a key. Zero: only a lag that is seen
        /// protects.
        package var guardWindow = Duration.seconds(60)
    }

    /// Where the position in the stream is kept, so that a restart goes on instead of beginning anew.
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
