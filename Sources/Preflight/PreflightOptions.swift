/// What a preflight has to know of the task.
package struct PreflightOptions: Sendable {
    /// The key of the task's checkpoint in the target.
    package var checkpointKey: String
    /// The names of all checkpoints of tasks begin with it.
    package var ownPrefixes: Set<String> = ["df2redis:"]
    /// Data that the target has no place for ends the task.
    package var stopsAtUnsupported = true
    /// Databases of the source that are left out on purpose.
    package var skippedDatabases: Set<UInt32> = []
    /// Its name, for commands that are proposed.
    package var task = "TASK"
    /// The field of the checkpoint that says that the task has been cut over.
    package var cutOverField = "cutover"
    /// Whether the process that an owner's record names has certainly ended.
    package var hasEnded: @Sendable (_ owner: String) -> Bool = { _ in false }
    package var stateDirectory = ""
    package var spoolDirectory = ""
    package var spoolDiskBytes = 0
    package var spoolMemoryBytes = 0
    /// How long write rates are measured.
    package var interval = Duration.seconds(1)
    /// Keys of the source whose types are looked at.
    package var sampleKeys = 5000

    package init(checkpointKey: String) { self.checkpointKey = checkpointKey }
}
