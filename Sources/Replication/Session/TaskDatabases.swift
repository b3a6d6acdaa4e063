import Dragonfly

/// What the session knows of the target's databases and of the task's part in them.
struct TaskDatabases {
    /// Databases that the task has filled, as the checkpoint has them.
    var known: Set<UInt32> = []
    var areNoted = false
    /// Others that a full sync which has not been completed has begun to fill, by the number of keys that stood there
    /// before the task's first write.
    var filling: [UInt32: Int] = [:]
    /// Whatever the full sync comes to has been filled before.
    private var areAllOwn = false
    /// Databases that the stable stream has come to, each with the flows that wait until it is noted.
    var awaited: [UInt32: Set<FlowID>] = [:]
    /// Databases that this full sync has come to.
    var opened: Set<UInt32> = []

    init() {}

    init(_ opening: CheckpointStore.Opening) {
        known = opening.databases ?? []
        areNoted = opening.databases != nil
        filling = opening.filling.filter { !known.contains($0.key) }
        // What told the databases is lost, and that they have been filled is known.
        areAllOwn = opening.isReconciling && opening.databases == nil && opening.filling.isEmpty
    }

    /// There are databases where everything is the task's: what the source no longer has can be told.
    var hasOwn: Bool { areNoted || filling.values.contains(0) || areAllOwn }

    /// Where everything is the task's. Keys of others that stood in a database before the task's first full sync are not
    /// removed at its end, however often that was begun.
    var own: Set<UInt32> { known.filter { areAllOwn || filling[$0, default: 0] == 0 } }
}
