package import Dragonfly
package import Redis

/// The settings of one task, in the form that the replicator needs.
package struct ReplicatorSettings: Sendable {
    package enum Mode: Sendable {
        /// Follows the source until the task is asked to leave.
        case replicate
        /// Does one full sync and then leaves.
        case migrate
    }

    /// What a full sync does with keys that the target already holds.
    package enum Existing: String, Sendable, CaseIterable {
        /// `replace` in a task's first full sync, `reconcile` in later ones into a target that it has filled.
        case auto
        /// Keys of the snapshot replace those of the target; other keys stay.
        case replace
        /// The databases are emptied first.
        case flush
        /// Keys that the source no longer has are removed from the task's databases at the end of the snapshot.
        case reconcile
    }

    package var task: String
    package var mode: Mode
    /// The command with which an operator makes a task follow the source again after a cut-over.
    package var undoCommand: String
    package var source: SourceSettings
    package var target: TargetSettings
    package var policy = ReplicationPolicy()
    package var checkpoint = CheckpointSettings()
    package var existing = Existing.auto
    /// The directory of the task's files, such as the dead-letter file; `nil` for none.
    package var stateDirectory: String?
    /// The directory of the spool and other temporary files; `nil` for none.
    package var spoolDirectory: String?
    /// How long the target, the network or the process may be stopped without losing a key that the source keeps.
    package var expiryGuard = Duration.seconds(60)
    package var memoryBytes = 256 << 20
    package var diskBytes = 8 << 30
    /// The most commands of one transaction.
    package var batchCommands = Int.max
    /// The limit over all flows together; `nil` for no limit.
    package var commandsPerSecond: Int?
    /// How many keys per second are read at the source because their records do not say enough; 0 reads none.
    package var refreshesPerSecond = 50
    /// Compares both sides while the task follows the source; `nil` if the task cannot compare.
    package var verifier: Verifier?
    /// How many keys per second are compared all the time; 0 compares only when an operator asks for it.
    package var verifiesPerSecond = 0
    package var drain = Duration.seconds(2)
    package var finWait = Duration.seconds(1)
    package var retry = RetryPolicy()
    /// How long a source or a target may be unreachable; `nil` for no limit.
    package var giveUp: Duration? = .seconds(300)
    /// A target that owes a reply and gives no sign of life for this long is reported as lost.
    package var targetSilence = Duration.seconds(30)
    /// An expiry that is no further ahead than this, by the source's clock, is taken for the record of a plain GETEX.
    package var expiryMargin = Duration.milliseconds(500)
    /// The lag above which a warning is logged; `nil` for never.
    package var lagHigh: Duration? = .seconds(30)
    /// The number of beats, one a second, that a part may miss before it counts as hanging.
    package var hangBeats = 5
    /// Keeps the session's sockets open if this process is killed.
    package var socketStore: any SocketStore = NoSocketStore()
    /// Unix time in milliseconds.
    package var clock: @Sendable () -> Int64

    package init(
        task: String, mode: Mode, source: SourceSettings, target: TargetSettings, clock: @escaping @Sendable () -> Int64
    ) {
        self.task = task
        self.mode = mode
        undoCommand = "df2redis cutover \(task) --undo"
        self.source = source
        self.target = target
        self.clock = clock
    }
}
