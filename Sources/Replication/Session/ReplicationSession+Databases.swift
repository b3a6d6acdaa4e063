import Dragonfly
import Logging
import Redis

extension ReplicationSession {
    /// A flow is about to write to `database` for the first time in this session, and waits for it.
    ///
    /// That the task fills the database is noted before it does: were the sync ended early, the next one would take what
    /// this one has brought for keys of others, and leave for ever what the source deletes meanwhile.
    func prepare(_ database: UInt32, for flow: FlowID) async throws {
        if !isFullSync || stableFlows.count == appliers.count {
            // After a full sync whatever comes to a database is the task's.
            databases.awaited[database, default: []].insert(flow)
            return try await noteAwaitedDatabases()
        } else if databases.opened.insert(database).inserted {
            if settings.existing == .flush { try await empty(database) }
            try await noteFilling(database)
        }
        await appliers[flow.index].open(database)
    }

    /// Notes the databases that the stable stream has come to, and lets their flows go on; while the target is away they
    /// wait, and everything else goes on.
    func noteAwaitedDatabases() async throws {
        let awaited = databases.awaited
        guard !awaited.isEmpty else { return }
        let error = try await note(databases.known.union(databases.filling.keys).union(awaited.keys))
        for (database, flows) in awaited {
            let isNoted = databases.known.contains(database)
            if isNoted { databases.awaited[database] = nil }
            for flow in flows {
                if isNoted {
                    if lostFlows.contains(flow) { _ = try await handle(.targetFound(flow)) }
                    await appliers[flow.index].open(database)
                } else if let error, !lostFlows.contains(flow) {
                    _ = try await handle(.targetLost(flow, error))
                }
            }
        }
    }

    private func noteFilling(_ database: UInt32) async throws {
        if !databases.known.contains(database), databases.filling[database] == nil {
            let reserved = ReservedKeys(checkpoint: checkpointKey.name, isInCluster: control.isInCluster)
            databases.filling[database] = try await retryingTarget {
                try await control.keyCount(database: database, besides: reserved)
            }
            try await retryingTarget { try await keeper.note(filling: databases.filling, on: control) }
        }
    }

    private func empty(_ database: UInt32) async throws {
        let flush = flush(.flushDatabase(database), fields: [])
        let isAtOnce = rights.canFlush && rights.allows("EVAL")
        let isEmpty = try await retryingTarget { [control] in
            if isAtOnce, try await control.emptyAlone(database, flush) { return true }
            return try await control.empty(database, flush: flush)
        }
        guard isEmpty else {
            return logger.warning(
                "database \(database) of the target is not emptied (fullSync.existing: flush), as another task fills it too: old keys of this task stay",
                metadata: ["event": "divergence"])
        }
        databases.filling[database] = nil
        logger.notice("database \(database) of the target is emptied: fullSync.existing is flush")
    }

    /// Empties what the task has filled before, and the source uses no longer.
    func emptyUnused() async throws {
        let old = databases.known.union(databases.filling.keys).subtracting(databases.opened)
        for database in old.sorted() { try await empty(database) }
    }

    /// Notes the databases that the task fills: what a later full sync looks through.
    func storeDatabases() async throws {
        var all = databases.known.union(databases.filling.keys)
        for applier in appliers { all.formUnion(await applier.databases) }
        try await note(all)
    }

    /// - Returns: why it cannot be done now: the target is away, and is asked again later.
    @discardableResult
    private func note(_ all: Set<UInt32>) async throws -> TargetError? {
        guard all != databases.known || !databases.areNoted else { return nil }
        do {
            if try await keeper.note(all, isFirst: !databases.areNoted, on: control) {
                (databases.known, databases.areNoted) = (all, true)
            } else {
                watchTarget()
            }
        } catch let error as TargetError {
            guard error.isTransient else { throw error }
            return error
        }
        return nil
    }

    /// What the record holds besides positions: written anew with a command that may take the checkpoint's key with it.
    var recordFields: [(field: String, value: String)] {
        var fields: [(field: String, value: String)] = []
        if databases.areNoted {
            fields.append((TaskRecord.databasesField, TaskRecord.text(databases.known)))
        } else if !databases.filling.isEmpty {
            fields.append((TaskRecord.fillingField, TaskRecord.text(databases.filling)))
        }
        if isReconciling { fields.append((TaskRecord.reconcileField, "pending")) }
        return fields
    }

    /// Where a full sync removes what the source no longer has.
    var reconciledDatabases: Set<UInt32> { settings.existing == .auto ? databases.own : databases.known }

    /// The first full sync was ended early, over keys of others.
    func tellSharedDatabases() {
        for (database, count) in databases.filling.sorted(by: { $0.key < $1.key }) where count > 0 {
            logger.warning(
                "database \(database) held \(count) keys before this task's first full sync, which was ended early: keys that it brought and that the source has deleted since cannot be told from them, and stay (fullSync.existing: reconcile removes both)",
                metadata: ["event": "resync"])
        }
    }

    func reconciler(on control: TargetControl) -> Reconciler {
        Reconciler(
            control: control, flows: appliers, retry: settings.retry, logger: logger,
            reserved: ReservedKeys(checkpoint: checkpointKey.name, isInCluster: control.isInCluster),
            isShared: { [control, registry] in try await control.others(in: registry).fill($0) })
    }

    /// A source that has lost its data would take the copy of them with it, which is what a copy is for.
    ///
    /// - Throws: `ReplicationError` when the snapshot has brought nothing, and everything that stands in the task's databases
    ///   would be removed, unless that was asked for by name or the source was seen to be emptied.
    func refuseEmptySource() async throws {
        guard settings.existing == .auto, !past.sourceWasEmptied else { return }
        let (reconciler, reconciled) = (reconciler(on: control), reconciledDatabases)
        guard try await retryingTarget({ try await reconciler.hasWork(in: reconciled) }) else { return }
        throw ReplicationError(
            .policy,
            "the source has come back without any key, and the target still has those of this task: nothing is removed "
                + "(if the source has lost its data, restore them; if it is meant to be empty, set fullSync.existing to reconcile)"
        )
    }
}
