/// A flush of the source, with everything this task needs to run it at the target.
package struct Flush: Sendable {
    package var command: GlobalCommand
    package var task: String
    package var checkpointKey: String
    /// The fields of the checkpoint after the flush.
    package var fields: [(field: String, value: String)]
    package var registry: TaskRegistry
    /// The databases that the task has filled.
    package var databases: Set<UInt32> = []
    /// Those of them that have a mark. They get it again after the flush.
    package var marked: Set<UInt32> = []
    /// Whether the target allows FLUSHALL and FLUSHDB.
    package var canFlush = true
    /// Returns those of some keys of a database that this task has replicated; `nil` if that is not known.
    package var brought: (@Sendable ([[UInt8]], UInt32) async -> [[UInt8]])?
    /// The marks that every master of a cluster gets after the flush.
    package var marks: NodeMarks?

    package init(
        _ command: GlobalCommand, task: String, checkpointKey: String, fields: [(field: String, value: String)],
        registry: TaskRegistry
    ) {
        self.command = command
        self.task = task
        self.checkpointKey = checkpointKey
        self.fields = fields
        self.registry = registry
    }
}

/// The result of a flush.
package struct FlushOutcome: Equatable, Sendable {
    /// Databases in which keys of this task may be left, because another task fills them, too.
    package var left: Set<UInt32> = []
    /// The masters of a cluster that have got the flush's marks.
    package var marked: [MarkedMaster] = []
}
