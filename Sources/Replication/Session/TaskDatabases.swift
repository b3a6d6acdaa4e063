import Base
import Dragonfly
import Logging
import Redis

/// The target's databases that the task fills. They are noted in the checkpoint before a flow writes to them, emptied if
/// the configuration says so, and given to the parts that remove keys.
@SessionActor
final class TaskDatabases {
    private let scope: SessionScope
    private let logger: Logger
    private var filled = FilledDatabases()
    /// Databases that the stable stream has reached, each with the flows that wait until it is noted.
    private var awaited: [UInt32: Set<FlowID>] = [:]
    /// Databases that this full sync has reached.
    private var opened: Set<UInt32> = []

    init(_ scope: SessionScope) {
        self.scope = scope
        logger = scope.task.logger
    }

    /// Takes over the databases that the checkpoint names.
    func learn(_ opening: CheckpointStore.Opening) { filled = FilledDatabases(opening) }

    /// Begins a full sync. It fills the databases again and gives them new marks, whatever has happened to them.
    func beginFullSync() { filled.forgetMarks(of: filled.marked) }

    /// The databases that have a mark. A missing mark shows that somebody has emptied the database.
    var marked: Set<UInt32> { filled.marked }

    /// Notes that the target has evicted the marks of these databases. They get new marks with the next note.
    func forgetMarks(of databases: Set<UInt32>) { filled.forgetMarks(of: databases) }

    /// The databases among `databases` that must still get a mark.
    private func unmarked(_ databases: Set<UInt32>) -> Set<UInt32> {
        guard scope.task.settings.mode == .replicate, !scope.control.isInCluster else { return [] }
        return databases.subtracting(filled.marked)
    }

    /// Checks the marks after a full sync. They were written before the first key of each database and never again, so if
    /// somebody has emptied a database or the whole target meanwhile, the marks are missing.
    ///
    /// - Throws: `ReplicationError` if a mark is missing; `TargetError`.
    func checkMarks() async throws {
        let (control, key, marked) = (scope.control, scope.task.checkpointKey, filled.marked)
        guard !marked.isEmpty else { return }
        let isInTarget = scope.task.settings.checkpoint.store == .target
        let keys = isInTarget ? marked.subtracting([0]) : marked
        let found = try await scope.retry { try await control.marks(of: key.task, in: keys, with: key.name) }
        var emptied = DatabaseMark.lacking(keys, in: found.marks)
        if isInTarget { emptied.formUnion(marked.subtracting(TaskRecord(found.fields).marked)) }
        // If the target may have evicted the marks itself, it would evict them again in each full sync.
        guard !emptied.isEmpty, try await !scope.retry({ try await control.figures().evictsMarks }) else { return }
        throw ReplicationError(dataReplaced: .databasesEmptied(emptied))
    }

    /// Whether the checkpoint names the databases, which means that a full sync has been completed.
    var areNoted: Bool { filled.areNoted }

    /// The databases that a resumed flow may write to at once.
    var known: Set<UInt32> { filled.known }

    /// Whether a full sync removes the keys that the source no longer has.
    ///
    /// - Parameter wasPending: an earlier full sync ended before it had removed them.
    func areReconciled(wasPending: Bool) -> Bool {
        scope.task.settings.existing.reconciles(filled, wasPending: wasPending)
    }

    /// The databases in which a full sync removes the keys that the source no longer has.
    var reconciled: Set<UInt32> { scope.task.settings.existing.reconciled(filled) }

    /// The databases in which a key may be removed if the source does not have it.
    var removable: Set<UInt32> { scope.task.settings.existing == .replace ? [] : reconciled }

    /// The fields of the checkpoint's hash that store the databases.
    var fields: [(field: String, value: String)] { filled.fields }

    // MARK: Before a flow writes

    /// Prepares a database for a flow that is about to write to it for the first time in this session, and that waits.
    ///
    /// The checkpoint notes that the task fills the database before the first write. Otherwise, if the sync ended early,
    /// the next one would take this one's keys for keys of others, and never remove those that the source deletes
    /// meanwhile.
    func prepare(_ database: UInt32, for flow: FlowID) async throws {
        if !scope.sync.isFullSync || scope.flows.areAllStable {
            // After a full sync, all keys that come to a database belong to the task.
            awaited[database, default: []].insert(flow)
            return try await noteAwaited()
        } else if opened.insert(database).inserted {
            // The first database is reached just after the opening has surveyed all databases.
            let survey = scope.target.takeSurvey()
            let task = scope.task
            // Another task of the same source may fill a database that the configuration does not name.
            try await scope.retry { try await task.lease.claimDatabases([database]) }
            let isFlushed = task.settings.existing == .flush
            if isFlushed { try await empty(database) }
            try await noteFilling(database, isFlushed ? nil : survey)
        }
        await scope.flows[flow].open(database)
    }

    /// Notes the databases that the stable stream has reached, and lets the waiting flows continue. While the target is
    /// unreachable, they wait and everything else continues.
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

    /// Notes that the full sync begins to fill a database, and writes the database's mark.
    ///
    /// - Parameter survey: the contents of the target's databases, if known.
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
            count = try await scope.retry { try await control.keyCount(database: database, excluding: reserved) }
        }
        filled.setFilling(database, over: count)
        if count > 0 { warnOfOthers(in: database, count: count) }
        let filling = filled.filling
        try await scope.retry { try await task.checkpointStore.note(filling: filling, marking: new, on: control) }
        filled.setMarked(new)
    }

    /// Warns that the database holds keys which the full sync neither replaces nor removes unless the source has them.
    private func warnOfOthers(in database: UInt32, count: Int) {
        guard [.auto, .replace].contains(scope.task.settings.existing), !scope.target.hasOtherTasks else { return }
        logger.warning(
            "database \(database) of the target holds \(counted(count, "key")) already: those that the source does not have stay, and a command that builds on one of them, such as INCR, APPEND or RPUSH, has another result than at the source (fullSync.existing: reconcile removes them)",
            metadata: ["event": "divergence"])
    }

    // MARK: In the checkpoint

    /// Notes the databases that the task fills, so that a later full sync looks through them.
    func store() async throws {
        try await note(filled.all.union(await scope.flows.databases()))
    }

    /// Notes `all` as the databases that the task fills.
    ///
    /// - Returns: the error if the target is unreachable now; the caller tries again later.
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

    /// Empties the databases that the task filled before and that the source no longer uses.
    func emptyUnused() async throws {
        for database in filled.all.subtracting(opened).sorted() {
            // In a cluster, database 0 has the marks of all masters, which the flows have written by now. So its keys are
            // removed one by one, and the marks stay.
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

    /// Creates the form of the source's flush that this task may run at the target.
    ///
    /// - Parameter fields: the fields of the checkpoint after the flush.
    func flush(_ command: GlobalCommand, fields: [(field: String, value: String)]) -> Flush {
        let task = scope.task
        var flush = Flush(
            command, task: task.settings.task, checkpointKey: task.checkpointKey.name, fields: fields,
            registry: task.registry)
        (flush.databases, flush.marked) = (filled.all, filled.marked)
        flush.canFlush = scope.target.rights.canFlush
        // A session that began with a full sync knows which keys it has brought.
        if scope.sync.isFullSync, scope.target.hasOtherTasks {
            flush.brought = { [appliers = scope.flows.appliers] keys, database in
                var brought: [[UInt8]] = []
                for applier in appliers { brought += await applier.brought(keys, database: database) }
                return brought
            }
        }
        return flush
    }

    /// Warns about databases that held keys of others before the first full sync, which ended early.
    func reportShared() {
        for (database, count) in filled.filling.sorted(by: { $0.key < $1.key }) where count > 0 {
            logger.warning(
                "database \(database) held \(count) keys before this task's first full sync, which was ended early: keys that it brought and that the source has deleted since cannot be told from them, and stay (fullSync.existing: reconcile removes both)",
                metadata: ["event": "resync"])
        }
    }
}
