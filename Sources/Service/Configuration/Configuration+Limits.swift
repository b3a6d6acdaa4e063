extension Configuration {
    /// The queue for records that the target cannot take yet, shared by all flows.
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

    /// How keys are read at the source if its journal does not say enough about them.
    package struct Refresh: Sendable, Equatable {
        /// With zero, keys are only counted and not read.
        package var keysPerSecond = 50
    }

    /// How both sides are compared while the task follows.
    package struct Verify: Sendable, Equatable {
        /// Zero turns the comparison off.
        package var keysPerSecond = 0
    }

    /// How hard the target may be driven.
    package struct Advanced: Sendable, Equatable {
        /// The maximum number of commands per second; zero is no limit.
        package var commandsPerSecond = 0
        /// The maximum number of commands in a batch. Most batches reach their limit of bytes before.
        package var batchSize = 5000
    }
}
