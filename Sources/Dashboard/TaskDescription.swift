/// The facts about a task that do not change while its process runs.
package struct TaskDescription: Sendable, Equatable {
    package struct Checkpoint: Sendable, Equatable {
        package var isEnabled = true
        /// The checkpoint's file; `nil` if the checkpoint is in the target.
        package var file: String?
        /// The checkpoint's key in the target.
        package var key = ""

        package init() {}
    }

    package var name: String
    /// `replicate` or `migrate`.
    package var mode = "replicate"
    package var version = ""
    package var processID: Int32 = 0
    /// Unix time in milliseconds.
    package var startedAt: Int64 = 0
    package var configurationFile = ""
    package var stateDirectory = ""
    package var source = ""
    package var target = ""
    /// `standalone` or `cluster`.
    package var targetKind = "standalone"
    package var checkpoint = Checkpoint()
    /// A task with less lag than this is ready; `nil` if any lag will do.
    package var lagHigh: Duration?

    package init(name: String) { self.name = name }
}
