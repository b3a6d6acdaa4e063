/// Which of the target's databases the task has filled, as the checkpoint has it.
struct FilledDatabases {
    /// Databases that the task has filled.
    private(set) var known: Set<UInt32> = []
    /// `known` is in the checkpoint: a full sync has been completed.
    private(set) var areNoted = false
    /// Others that a full sync which has not been completed has begun to fill, by the number of keys that were there
    /// before the task's first write.
    private(set) var filling: [UInt32: Int] = [:]
    /// Those that have had their mark since the session's position, or since its full sync began (`DatabaseMark`).
    private(set) var marked: Set<UInt32> = []
    /// Whatever the full sync comes to has been filled before.
    private var areAllOwn = false

    init() {}

    init(_ opening: CheckpointStore.Opening) {
        known = opening.databases ?? []
        areNoted = opening.databases != nil
        marked = opening.marked
        filling = opening.filling.filter { !known.contains($0.key) }
        // Which databases it were is lost, and that they have been filled is known.
        areAllOwn = opening.isReconciling && opening.databases == nil && opening.filling.isEmpty
    }

    /// All that the task has written to.
    var all: Set<UInt32> { known.union(filling.keys) }

    /// Some database was empty before the task, so stale keys can be identified.
    var hasOwn: Bool { areNoted || filling.values.contains(0) || areAllOwn }

    /// Where everything is the task's. Keys of others that were in a database before the task's first full sync are not
    /// removed at its end, however often that was begun.
    var own: Set<UInt32> { known.filter { areAllOwn || filling[$0, default: 0] == 0 } }

    func isKnown(_ database: UInt32) -> Bool { known.contains(database) }

    /// A first full sync comes to a database that held so many keys.
    mutating func setFilling(_ database: UInt32, over keys: Int) { filling[database] = keys }

    /// The database is empty now.
    mutating func markEmpty(_ database: UInt32) {
        filling[database] = nil
        marked.remove(database)
    }

    mutating func setMarked(_ databases: Set<UInt32>) { marked.formUnion(databases) }

    /// These have lost their marks, and nothing else.
    mutating func forgetMarks(of databases: Set<UInt32>) { marked.subtract(databases) }

    /// The checkpoint has these by now.
    mutating func markNoted(_ databases: Set<UInt32>) { (known, areNoted) = (databases, true) }

    /// What the checkpoint's hash holds of it.
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
    /// Whether a full sync removes, at its end, what the source no longer has.
    ///
    /// - Parameters:
    ///   - filled: what the task has filled before it.
    ///   - wasPending: an earlier one was ended before it had removed it.
    func reconciles(_ filled: FilledDatabases, wasPending: Bool) -> Bool {
        switch self {
        case .auto: filled.hasOwn || wasPending
        case .reconcile: true
        case .replace, .flush: false
        }
    }

    /// The databases that it looks through.
    func reconciled(_ filled: FilledDatabases) -> Set<UInt32> { self == .auto ? filled.own : filled.known }
}

extension ReplicatorSettings {
    /// In a full sync `conflict.policy` would take what the task has brought before for keys of others.
    func takesOwnKeysForOthers(after checkpoint: CheckpointStore.Opening) -> Bool {
        existing != .flush && policy.onConflict != .overwrite && (checkpoint.isKnown || checkpoint.isRecalled)
    }
}
