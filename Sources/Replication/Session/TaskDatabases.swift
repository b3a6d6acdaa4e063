import Dragonfly
import Logging
import Redis

/// The target's databases that the task fills: noted in the checkpoint before a flow writes to one, emptied where the
/// configuration wants it, and named to whoever removes keys.
@SessionActor
final class TaskDatabases {
    private let scope: SessionScope
    private let logger: Logger
    private var filled = FilledDatabases()
    /// Databases that the stable stream has come to, each with the flows that wait until it is noted.
    private var awaited: [UInt32: Set<FlowID>] = [:]
    /// Databases that this full sync has come to.
    private var opened: Set<UInt32> = []

    init(_ scope: SessionScope) {
        self.scope = scope
        logger = scope.task.logger
    }

    /// What the checkpoint says.
    func learn(_ opening: CheckpointStore.Opening) { filled = FilledDatabases(opening) }

    /// A full sync begins: whatever has become of the databases, it fills them again, and gives them new marks.
    func beginFullSync() { filled.forgetMarks(of: filled.marked) }

    /// Databases that have a mark, by which it is seen that somebody has emptied one.
    var marked: Set<UInt32> { filled.marked }

    /// The target has evicted the marks of these: they get new ones with the next note.
    func forgetMarks(of databases: Set<UInt32>) { filled.forgetMarks(of: databases) }

    /// Those of `databases` that are to get their marks.
    private func unmarked(_ databases: Set<UInt32>) -> Set<UInt32> {
        guard scope.task.settings.mode == .replicate, !scope.control.isInCluster else { return [] }
        return databases.subtracting(filled.marked)
    }

    /// A full sync is complete. Whoever has emptied the target meanwhile, or a database of it, has removed what was written
    /// there before its first key and never again.
    ///
    /// - Throws: `ReplicationError` when somebody has; `TargetError`.
    func checkMarks() async throws {
        let (control, key, marked) = (scope.control, scope.task.checkpointKey, filled.marked)
        guard !marked.isEmpty else { return }
        let isInTarget = scope.task.settings.checkpoint.store == .target
        let keys = isInTarget ? marked.subtracting([0]) : marked
        let found = try await scope.retry { try await control.marks(of: key.task, in: keys, with: key.name) }
        var emptied = DatabaseMark.lacking(keys, in: found.marks)
        if isInTarget { emptied.formUnion(marked.subtracting(TaskRecord(found.fields).marked)) }
        // What may be the target's own doing it would do again in each full sync.
        guard !emptied.isEmpty, try await !scope.retry({ try await control.figures().evictsMarks }) else { return }
        throw ReplicationError(dataReplaced: .databasesEmptied(emptied))
    }

    /// The checkpoint names the databases: a full sync has been completed.
    var areNoted: Bool { filled.areNoted }

    /// The databases that a resumed flow may write to at once.
    var known: Set<UInt32> { filled.known }

    /// A full sync removes what the source no longer has.
    ///
    /// - Parameter wasPending: an earlier one was ended before it had.
    func areReconciled(wasPending: Bool) -> Bool {
        scope.task.settings.existing.reconciles(filled, wasPending: wasPending)
    }

    /// Where a full sync does so.
    var reconciled: Set<UInt32> { scope.task.settings.existing.reconciled(filled) }

    /// Where a key that the source does not have may be removed.
    var removable: Set<UInt32> { scope.task.settings.existing == .replace ? [] : reconciled }

    /// What the checkpoint's hash holds of them.
    var fields: [(field: String, value: String)] { filled.fields }

    // MARK: Before a flow writes

    /// A flow is about to write to `database` for the first time in this session, and waits for it.
    ///
    /// That the task fills the database is noted before it does: were the sync ended early, the next one would take what
    /// this one has brought for keys of others, and leave for ever what the source deletes meanwhile.
    func prepare(_ database: UInt32, for flow: FlowID) async throws {
        if !scope.sync.isFullSync || scope.flows.areAllStable {
            // After a full sync whatever comes to a database is the task's.
            awaited[database, default: []].insert(flow)
            return try await noteAwaited()
        } else if opened.insert(database).inserted {
            // The first database is reached just after the opening has looked through all.
            let survey = scope.target.takeSurvey()
            let task = scope.task
            // Another task of the same source may fill what is not named.
            try await scope.retry { try await task.lease.claimDatabases([database]) }
            let isFlushed = task.settings.existing == .flush
            if isFlushed { try await empty(database) }
            try await noteFilling(database, isFlushed ? nil : survey)
        }
        await scope.flows[flow].open(database)
    }

    /// Notes the databases that the stable stream has come to, and lets their flows go on; while the target is away they
    /// wait, and everything else goes on.
    func noteAwaited() async throws {
        let awaited = awaited
        guard !awaited.isEmpty else { return }
        let flows = scope.flows
        let error = try await note(filled.all.union(awaited.keys))
        for (database, waiting) in awaited {
            let isNoted = filled.isKnown(database)
            if isNoted { self.awaited[database] = nil }
            for flow in waiting {
                if isNoted {
                    flows.reportTargetFound(flow)
                    await flows[flow].open(database)
                } else if let error, !flows.isTargetLost(flow) {
                    flows.reportTargetLost(flow, error)
                }
            }
        }
    }

    /// - Parameter survey: what the target holds, if that is known.
    private func noteFilling(_ database: UInt32, _ survey: DatabaseSurvey?) async throws {
        let (task, control, new) = (scope.task, scope.control, unmarked([database]))
        guard !filled.isKnown(database), filled.filling[database] == nil else {
            if !new.isEmpty { try await scope.retry { try await task.checkpointStore.mark(new, on: control) } }
            return filled.setMarked(new)
        }
        let reserved = ReservedKeys(checkpoint: task.checkpointKey.name, isInCluster: control.isInCluster)
        let count: Int
        if let known = survey?.keyCount(database) {
            count = known
        } else {
            count = try await scope.retry { try await control.keyCount(database: database, besides: reserved) }
        }
        filled.setFilling(database, over: count)
        let filling = filled.filling
        try await scope.retry { try await task.checkpointStore.note(filling: filling, marking: new, on: control) }
        filled.setMarked(new)
    }

    // MARK: In the checkpoint

    /// Notes the databases that the task fills: what a later full sync looks through.
    func store() async throws {
        try await note(filled.all.union(await scope.flows.databases()))
    }

    /// - Returns: why it cannot be done now: the target is away, and is asked again later.
    @discardableResult
    private func note(_ all: Set<UInt32>) async throws -> TargetError? {
        let (store, new) = (scope.task.checkpointStore, unmarked(all))
        guard all != filled.known || !filled.areNoted || !new.isEmpty else { return nil }
        do {
            try await scope.task.lease.claimDatabases(all.subtracting(filled.all))
            if try await store.note(all, isFirst: !filled.areNoted, marking: new, on: scope.control) {
                filled.markNoted(all)
                filled.setMarked(new)
            } else {
                scope.events.report(.checkpointMissing)
            }
        } catch let error as TargetError {
            guard error.isTransient else { throw error }
            return error
        }
        return nil
    }

    // MARK: Emptying

    /// Empties what the task has filled before, and the source uses no longer.
    func emptyUnused() async throws {
        for database in filled.all.subtracting(opened).sorted() {
            // Database 0 of a cluster has the marks of all masters, which the flows have written by now: key by key they stay.
            try await empty(database, keepsMarks: database == 0 && scope.control.isInCluster)
        }
    }

    private func empty(_ database: UInt32, keepsMarks: Bool = false) async throws {
        let (control, target) = (scope.control, scope.target)
        let flush = flush(.flushDatabase(database), fields: [])
        let isAtOnce = !keepsMarks && target.rights.canFlush && target.rights.allows("EVAL")
        let isEmpty = try await scope.retry {
            if isAtOnce, try await control.emptyAlone(database, flush) { return true }
            return try await control.empty(database, flush: flush)
        }
        guard isEmpty else {
            return logger.warning(
                "database \(database) of the target is not emptied (fullSync.existing: flush), as another task fills it too: old keys of this task stay",
                metadata: ["event": "divergence"])
        }
        filled.markEmpty(database)
        logger.notice("emptying database \(database) of the target (fullSync.existing: flush)")
    }

    /// A flush of the source, as this task may carry it out.
    ///
    /// - Parameter fields: what the checkpoint holds afterwards.
    func flush(_ command: GlobalCommand, fields: [(field: String, value: String)]) -> Flush {
        let task = scope.task
        var flush = Flush(
            command, task: task.settings.task, checkpointKey: task.checkpointKey.name, fields: fields,
            registry: task.registry)
        (flush.databases, flush.marked) = (filled.all, filled.marked)
        flush.canFlush = scope.target.rights.canFlush
        // A session that has begun with a full sync knows what it has brought.
        if scope.sync.isFullSync, scope.target.hasOtherTasks {
            flush.brought = { [appliers = scope.flows.appliers] keys, database in
                var brought: [[UInt8]] = []
                for applier in appliers { brought += await applier.brought(keys, database: database) }
                return brought
            }
        }
        return flush
    }

    /// The first full sync was ended early, over keys of others.
    func reportShared() {
        for (database, count) in filled.filling.sorted(by: { $0.key < $1.key }) where count > 0 {
            logger.warning(
                "database \(database) held \(count) keys before this task's first full sync, which was ended early: keys that it brought and that the source has deleted since cannot be told from them, and stay (fullSync.existing: reconcile removes both)",
                metadata: ["event": "resync"])
        }
    }
}
