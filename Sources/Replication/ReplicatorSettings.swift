package import Dragonfly
package import Redis

/// One task, as the replicator needs to know it.
package struct ReplicatorSettings: Sendable {
    package enum Mode: Sendable {
        /// Follow until asked to leave.
        case replicate
        /// One full sync, then leave.
        case migrate
    }

    /// What happens to keys of the target that a full sync finds there.
    package enum Existing: String, Sendable, CaseIterable {
        /// `replace` in a task's first full sync, `reconcile` in later ones into a target that it has filled.
        case auto
        /// Keys of the snapshot replace those of the target, others stay.
        case replace
        /// The databases are emptied first.
        case flush
        /// Keys that the source no longer has are removed from the task's databases at the end of the snapshot.
        case reconcile
    }

    package var task: String
    package var mode: Mode
    /// What an operator enters to have a task follow again that has been cut over.
    package var undoCommand: String
    package var source: SourceSettings
    package var target: TargetSettings
    package var policy = ReplicationPolicy()
    package var checkpoint = CheckpointSettings()
    package var existing = Existing.auto
    /// Where the spool and the dead-letter file go; `nil`: nowhere.
    package var stateDirectory: String?
    package var spoolDirectory: String?
    /// How long the target, the network or the process may be stopped without a key being lost that the source keeps.
    package var expiryGuard = Duration.seconds(60)
    package var memoryBytes = 256 << 20
    package var diskBytes = 8 << 30
    /// Commands of one transaction at most.
    package var batchCommands = Int.max
    /// Over all flows; `nil`: no limit.
    package var commandsPerSecond: Int?
    /// Keys that are read at the source because the stream does not say enough of them; 0: none are.
    package var refreshesPerSecond = 50
    /// Compares both sides while the task follows; `nil`: nobody can.
    package var scrub: Scrub?
    /// Keys that are compared all the time; 0: only when an operator asks for it.
    package var verifiesPerSecond = 0
    package var drain = Duration.seconds(2)
    package var finWait = Duration.seconds(1)
    package var retry = RetryPolicy()
    /// How long a source or a target may stay away; `nil`: for ever.
    package var giveUp: Duration? = .seconds(300)
    /// A target that owes an answer and gives no sign of life for so long is reported as lost.
    package var targetSilence = Duration.seconds(30)
    /// An expiry that lies no further ahead than this, by the source's clock, is what a plain GETEX has left in the journal.
    package var expiryMargin = Duration.milliseconds(500)
    /// A lag beyond this is reported; `nil`: never.
    package var lagHigh: Duration? = .seconds(30)
    /// For so many beats, one a second, a part of us may not get its turn until it counts as hanging.
    package var hangBeats = 5
    /// Keeps the sockets of the session open should this process be killed.
    package var socketStore: any SocketKeeper = NoSocketKeeper()
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
