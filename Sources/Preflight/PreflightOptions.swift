package import Replication

/// What a preflight has to know of the task.
package struct PreflightOptions: Sendable {
    /// As it would run; the target as a command visits it.
    package let settings: ReplicatorSettings
    /// The key of the task's checkpoint in the target.
    package let checkpointKey: String
    /// The names of all checkpoints of tasks begin with it.
    package var ownPrefixes: Set<String> = ["df2redis:"]
    /// Data that the target has no place for ends the task.
    package var stopsAtUnsupported: Bool
    /// Databases of the source that are left out on purpose.
    package var skippedDatabases: Set<UInt32>
    /// Whether the process that an owner's record names has certainly ended.
    package var hasEnded: @Sendable (_ owner: String) -> Bool = { ProcessIdentity.hasEnded($0) }
    /// The task has been cut over, as a file of this host says.
    package var isCutOver = false
    package var stateDirectory: String
    package var spoolDirectory: String
    package var spoolDiskBytes: Int
    package var spoolMemoryBytes: Int
    /// How long write rates are measured.
    package var interval = Duration.seconds(1)
    /// Keys of the source whose types are looked at.
    package var sampleKeys = 5000

    package init(_ settings: ReplicatorSettings) {
        self.settings = settings
        checkpointKey = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix).name
        ownPrefixes.insert(settings.checkpoint.keyPrefix)
        stopsAtUnsupported = settings.policy.onUnsupported == .stop
        skippedDatabases = settings.policy.skippedDatabases
        stateDirectory = settings.stateDirectory ?? ""
        spoolDirectory = settings.spoolDirectory ?? ""
        spoolDiskBytes = settings.diskBytes
        spoolMemoryBytes = settings.memoryBytes
    }
}
