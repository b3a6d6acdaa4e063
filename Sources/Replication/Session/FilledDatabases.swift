/// The target's databases that the task has filled, as noted in the checkpoint.
struct FilledDatabases {
    /// Databases that the task has filled.
    private(set) var known: Set<UInt32> = []
    /// The checkpoint has `known`, so a full sync has been completed.
    private(set) var areNoted = false
    /// Further databases that an incomplete full sync has begun to fill, each with the number of keys that it held before
    /// the task's first write.
    private(set) var filling: [UInt32: Int] = [:]
    /// Databases that got their mark since the session's position, or since its full sync began (`DatabaseMark`).
    private(set) var marked: Set<UInt32> = []
    /// Every database that the full sync will reach was filled by the task before.
    private var areAllOwn = false

    init() {}

    init(_ opening: CheckpointStore.Opening) {
        known = opening.databases ?? []
        areNoted = opening.databases != nil
        marked = opening.marked
        filling = opening.filling.filter { !known.contains($0.key) }
        // The checkpoint no longer says which databases the task filled, only that it filled some.
        areAllOwn = opening.isReconciling && opening.databases == nil && opening.filling.isEmpty
    }

    /// All databases that the task has written to.
    var all: Set<UInt32> { known.union(filling.keys) }

    /// Whether at least one database was empty before the task, so that stale keys can be identified.
    var hasOwn: Bool { areNoted || filling.values.contains(0) || areAllOwn }

    /// The databases whose keys all belong to the task. If a database held keys of others before the task's first full
    /// sync, no keys are removed there after a full sync, no matter how often the first one was started.
    var own: Set<UInt32> { known.filter { areAllOwn || filling[$0, default: 0] == 0 } }

    func isKnown(_ database: UInt32) -> Bool { known.contains(database) }

    /// Notes that the task's first full sync reaches a database that held `keys` keys.
    mutating func setFilling(_ database: UInt32, over keys: Int) { filling[database] = keys }

    /// Notes that the database is empty now.
    mutating func markEmpty(_ database: UInt32) {
        filling[database] = nil
        marked.remove(database)
    }

    mutating func setMarked(_ databases: Set<UInt32>) { marked.formUnion(databases) }

    /// Notes that the databases have lost their marks, but none of their data.
    mutating func forgetMarks(of databases: Set<UInt32>) { marked.subtract(databases) }

    /// Notes that the checkpoint has these databases now.
    mutating func markNoted(_ databases: Set<UInt32>) { (known, areNoted) = (databases, true) }

    /// The fields of the checkpoint's hash that store this value.
    var fields: [(field: String, value: String)] {
        var fields: [(field: String, value: String)] = []
        if areNoted {
            fields.append((TaskRecord.databasesField, TaskRecord.text(known)))
        } else if !filling.isEmpty {
            fields.append((TaskRecord.fillingField, TaskRecord.text(filling)))
        }
        return fields + TaskRecord.markFields(marked)
    }
}

extension ReplicatorSettings.Existing {
    /// Whether a full sync ends by removing the keys that the source no longer has.
    ///
    /// - Parameters:
    ///   - filled: the databases that the task filled before this full sync.
    ///   - wasPending: an earlier full sync ended before it had removed them.
    func reconciles(_ filled: FilledDatabases, wasPending: Bool) -> Bool {
        switch self {
        case .auto: filled.hasOwn || wasPending
        case .reconcile: true
        case .replace, .flush: false
        }
    }

    /// The databases in which a full sync removes the keys that the source no longer has.
    func reconciled(_ filled: FilledDatabases) -> Set<UInt32> { self == .auto ? filled.own : filled.known }
}

extension ReplicatorSettings {
    /// Whether `conflict.policy` would take this task's own keys for keys of others in a full sync.
    func takesOwnKeysForOthers(after checkpoint: CheckpointStore.Opening) -> Bool {
        existing != .flush && policy.onConflict != .overwrite && (checkpoint.isKnown || checkpoint.isRecalled)
    }
}
