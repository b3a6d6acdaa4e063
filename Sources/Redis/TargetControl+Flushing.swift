import Link
import Wire

/// Runs global commands and everything else that removes all keys of a database.
///
/// A task that is alone in the target flushes in one transaction with its checkpoint. If there are other tasks, or the
/// target does not allow a flush, keys are removed page by page, and again if that is interrupted. If another task fills the
/// same database, only keys that this task is known to have replicated are removed.
extension TargetControl {
    /// Runs a global command and stores the checkpoint of every flow.
    package func run(_ flush: Flush) async throws(TargetError) -> FlushOutcome {
        if flush.canFlush, flush.command.isFlush, let marked = try await flushAlone(flush) {
            return FlushOutcome(marked: marked)
        }
        guard servers.cluster == nil else { return try await removeInCluster(flush) }
        let left = try await removeKeys(flush)
        let records = records(of: flush)
        // All commands go over one connection, because none of them may run outside the transaction.
        try await servers.at([]) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("MULTI")
                try await sequence.execute("SELECT", "0")
                for (_, command) in records { try await sequence.execute(command) }
                try Self.check(try await sequence.execute("EXEC"), flush.command.name)
            }
        }
        return FlushOutcome(left: left)
    }

    /// Removes the keys one by one, then writes the marks, and then the position.
    private func removeInCluster(_ flush: Flush) async throws(TargetError) -> FlushOutcome {
        var outcome = FlushOutcome()
        var masters: String
        repeat {
            // If a master is replaced meanwhile, its successor may still have removed keys, so the removal is repeated.
            masters = try await figures().runID
            outcome.left = try await removeKeys(flush)
            if let marks = flush.marks { outcome.marked = try await leave(marks) }
        } while try await figures().runID != masters
        var flush = flush
        flush.fields += flush.marks?.note(outcome.marked) ?? []
        // The position is written last.
        for (key, command) in records(of: flush) { _ = try await execute(command, at: key, in: 0) }
        return outcome
    }

    /// - Returns: the databases in which keys of this task may be left.
    private func removeKeys(_ flush: Flush) async throws(TargetError) -> Set<UInt32> {
        var left: Set<UInt32> = []
        for database in try await databases(of: flush) where try await !removeKeys(database, flush) {
            left.insert(database)
        }
        return left
    }

    /// - Returns: the masters of a cluster that have the marks; `nil` if the task is not alone, in which case nothing is
    ///   done.
    private func flushAlone(_ flush: Flush) async throws(TargetError) -> [MarkedMaster]? {
        guard servers.cluster == nil else {
            return try await ClusterFlush(
                servers: servers, command: flush.command, checkpointKey: flush.checkpointKey,
                owner: connector.settings.owner, registry: flush.registry, marks: flush.marks
            ).run(flush.fields)
        }
        let records = records(of: flush)
        let marks = DatabaseMark.commands(task: flush.task, in: flush.removedMarks)
        return try await servers.at([]) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                while true {
                    try await sequence.execute("SELECT", "0")
                    try await sequence.execute("WATCH", TaskRegistry.key)
                    guard flush.registry.others(in: try await sequence.execute("HGETALL", TaskRegistry.key)).isEmpty
                    else {
                        try await sequence.execute("UNWATCH")
                        return nil
                    }
                    try await sequence.execute("MULTI")
                    if case .flushDatabase(let database) = flush.command {
                        try await sequence.execute("SELECT", String(database))
                        try await sequence.execute("FLUSHDB")
                    } else {
                        try await sequence.execute("FLUSHALL")
                    }
                    for command in marks { try await sequence.execute(command) }
                    try await sequence.execute("SELECT", "0")
                    for (_, command) in records { try await sequence.execute(command) }
                    let replies = try await sequence.execute("EXEC")
                    // A null means that another task has registered since.
                    if case .array(nil) = replies { continue }
                    try Self.check(replies, flush.command.name)
                    return []
                }
            }
        }
    }

    /// The commands that restore df2redis' own keys after a flush of database 0, each with its key. The checkpoint is last.
    private func records(of flush: Flush) -> [(key: String, command: [String])] {
        var records: [(key: String, command: [String])] = []
        if let owner = connector.settings.owner { records.append((owner.key, owner.command)) }
        records.append((TaskRegistry.key, flush.registry.command))
        if !flush.fields.isEmpty {
            let words = flush.fields.flatMap { [$0.field, $0.value] }
            records.append((flush.checkpointKey, ["HSET", flush.checkpointKey] + words))
        }
        return records
    }

    private static func check(_ replies: RESPValue, _ step: String) throws(TargetError) {
        for reply in replies.array ?? [] {
            if case .error(let text) = reply { throw TargetError.reply(text, to: step) }
        }
    }

    private func databases(of flush: Flush) async throws(TargetError) -> [UInt32] {
        switch flush.command {
        case .flushSlots: return [0]
        case .flushDatabase(let database): return [database]
        case .flushAll:
            let all = try await databasesWithKeys()
            let others = try await others(in: flush.registry)
            return others.isEmpty ? all : all.filter(flush.databases.contains)
        }
    }

    /// - Returns: `false` if keys of this task may be left.
    private func removeKeys(_ database: UInt32, _ flush: Flush) async throws(TargetError) -> Bool {
        let reserved = ReservedKeys(checkpoint: flush.checkpointKey, isInCluster: isInCluster)
        let shadows = ElementExpiry.shadowPrefix(task: flush.task)
        let dues = Array(ElementExpiry.dueKey(task: flush.task, flow: 0).dropLast())
        func fate(of key: [UInt8]) -> Fate {
            let name = isInCluster ? SlotTag.untagged(key) : key[...]
            let isShadow = name.starts(with: shadows)
            if case .flushSlots(let ranges) = flush.command {
                guard isShadow || !reserved.contains(key) else { return .stays }
                let slot = hashSlot(of: isShadow ? Array(name.dropFirst(shadows.count)) : key)
                guard ranges.contains(where: { $0.contains(slot) }) else { return .stays }
                return isShadow ? .goes : .goesIfOurs
            }
            // Keys that belong to data go with the data.
            if isShadow || name.starts(with: dues) { return .goes }
            return reserved.contains(key) ? .stays : .goesIfOurs
        }
        return try await removePages(database, registry: flush.registry, brought: flush.brought, fate)
    }

    private enum Fate {
        case stays, goes
        /// The key is removed; if another task fills the database, too, only if this task has replicated it.
        case goesIfOurs
    }

    private func removePages(
        _ database: UInt32, registry: TaskRegistry, brought: (@Sendable ([[UInt8]], UInt32) async -> [[UInt8]])?,
        _ fate: ([UInt8]) -> Fate
    ) async throws(TargetError) -> Bool {
        var cursor = "0"
        repeat {
            let page = try await scan(database: database, cursor: cursor)
            cursor = page.cursor
            let (ours, others) = (
                page.keys.filter { fate($0) == .goes }, page.keys.filter { fate($0) == .goesIfOurs }
            )
            var doomed = others
            // The registry is read after the keys: see `TaskRegistry`.
            if !others.isEmpty || !ours.isEmpty, try await self.others(in: registry).fill(database) {
                guard let brought else { return false }
                doomed = await brought(others, database)
            }
            try await unlink(doomed + ours, database: database)
        } while cursor != "0"
        return true
    }

    /// Removes all keys of a database except df2redis' own, before a full sync.
    ///
    /// - Returns: `false` if another task fills the database, too; nothing more is removed then.
    package func empty(_ database: UInt32, flush: Flush) async throws(TargetError) -> Bool {
        var flush = flush
        flush.brought = nil
        flush.command = .flushDatabase(database)
        return try await removeKeys(database, flush)
    }
}

extension GlobalCommand {
    fileprivate var isFlush: Bool {
        if case .flushSlots = self { false } else { true }
    }
}
