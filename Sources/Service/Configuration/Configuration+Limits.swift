extension Configuration {
    /// Where records wait that the target cannot take yet, over all flows together.
    package struct Spool: Sendable, Equatable {
        package var memoryBytes = 256 << 20
        /// Zero keeps the spool off the disk.
        package var diskBytes = 8 << 30
        package var directory = ""
    }

    /// How often, and for how long, a lost source is tried again.
    ///
    /// The first try comes fast because the master keeps only its latest records for a partial sync; the longest wait
    /// is short because a master that returned is not to be left waiting; and after `giveUp` the exit code 69 hands the
    /// task to systemd's restart policy.
    package struct Reconnect: Sendable, Equatable {
        package var initial = Duration.milliseconds(200)
        package var maximum = Duration.seconds(10)
        /// Zero never gives up.
        package var giveUp = Duration.seconds(300)
    }

    /// How long the parts of leaving may take; together well inside the unit's `TimeoutStopSec=30`.
    package struct Shutdown: Sendable, Equatable {
        /// How long reading and applying go on before the FIN.
        package var drain = Duration.seconds(2)
        /// How long the master's own FIN is awaited.
        package var finWait = Duration.seconds(1)
    }

    /// How keys are read at the source of which its journal does not say enough.
    package struct Refresh: Sendable, Equatable {
        /// Zero: none are read, they are only counted.
        package var keysPerSecond = 50
    }

    /// How both sides are compared while the task follows.
    package struct Verify: Sendable, Equatable {
        /// Zero: they are not.
        package var keysPerSecond = 0
    }

    /// How hard the target may be driven.
    package struct Advanced: Sendable, Equatable {
        /// Commands a second at most; zero is no limit.
        package var commandsPerSecond = 0
        /// Commands a batch at most. Most batches are full by their bytes before.
        package var batchSize = 5000
    }
}
