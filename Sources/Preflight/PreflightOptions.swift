import Base
package import Replication

/// What a preflight must know about the task.
package struct PreflightOptions: Sendable {
    /// The task's settings, but with the target's settings for a command that only visits the target.
    package let settings: ReplicatorSettings
    /// The key of the task's checkpoint in the target.
    package let checkpointKey: String
    /// The prefixes of df2redis' own keys in the target, including that of the checkpoints.
    package var ownPrefixes: Set<String> = ["df2redis:"]
    /// Whether data that the target cannot hold stops the task.
    package var stopsAtUnsupported: Bool
    /// Databases of the source that are left out on purpose.
    package var skippedDatabases: Set<UInt32>
    /// Whether the process that an owner's record names has certainly ended.
    package var hasEnded: @Sendable (_ owner: String) -> Bool = { ProcessIdentity.hasEnded($0) }
    /// Whether the task has been cut over, according to a file on this host.
    package var isCutOver = false
    package var stateDirectory: String
    package var spoolDirectory: String
    package var spoolDiskBytes: Int
    package var spoolMemoryBytes: Int
    /// How long write rates are measured.
    package var interval = Duration.seconds(1)
    /// The number of the source's keys whose types are read.
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
