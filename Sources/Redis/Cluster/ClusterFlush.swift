import Wire

/// Runs a FLUSHALL or FLUSHDB of the source at every master of a cluster, for a task that is alone there.
///
/// ```
/// 1  SET {tag}df2redis:flushing:<checkpoint>   a task that starts meanwhile sees it and waits (`ClusterFlush.refuse`)
/// 2  HGETALL df2redis:tasks                    if there are other tasks, nothing is done
/// 3  MULTI, flush, marks, EXEC at each master but the one that has the checkpoint
/// 4  the keys of slots that have moved since 2 are removed
/// 5  MULTI, flush, marks, owner's record, checkpoint, EXEC at that one: the flush has happened, and its notice of 1 is gone
/// 6  the keys of slots that have moved since 4 are removed; if any has moved since 2, every master gets its marks again
/// ```
/// From then on the marks are expected: a replica that takes a master's place without them lacks the flush (`NodeMarks`).
///
/// The keys of a moving slot may get from a master that has not been flushed yet to one that has. The flows are at rest
/// meanwhile, so everything in such a slot can be removed.
///
/// The checkpoint advances in the transaction of step 5. If anything fails earlier, the flows reach the same command again and
/// everything is flushed again before any later record is applied.
struct ClusterFlush: Sendable {
    /// The lifetime of the notice. It is longer than any flush takes, and another task waits no longer than this if the
    /// process is killed.
    private static let noticeMilliseconds = 540_000

    let servers: TargetServers
    let command: GlobalCommand
    let checkpointKey: String
    let owner: OwnershipRecord?
    let registry: TaskRegistry
    var marks: NodeMarks?

    /// - Parameter fields: the checkpoint's fields after the flush, in addition to the note about the marks; `nil` to keep
    ///   the fields it has.
    /// - Returns: the masters and the slots of their marks; `nil` if the task is not alone, in which case nothing is done.
    func run(_ fields: [(field: String, value: String)]?) async throws(TargetError) -> [MarkedMaster]? {
        let notice = FlushNotice.key(ofCheckpoint: checkpointKey)
        _ = try await execute(["SET", notice, "1", "PX", "\(Self.noticeMilliseconds)"], at: notice)
        guard registry.others(in: try await execute(["HGETALL", TaskRegistry.key], at: TaskRegistry.key)).isEmpty else {
            _ = try await execute(["DEL", notice], at: notice)
            return nil
        }
        var masters: [MarkedMaster]
        while true {
            let layout = try await ClusterLayout.read(servers)
            masters = markedMasters(in: layout)
            guard let last = try await keeper(in: layout) else { throw Self.moved }
            for server in layout.servers where server.node != last.node { try await flush(server, masters) }
            let flushed = try await ClusterLayout.read(servers)
            _ = try await empty(flushed.movedSlots(since: layout), in: flushed)
            guard try await complete(at: last, fields, masters) else { continue }
            let end = try await emptyMoved(since: flushed)
            if let marks, !end.movedSlots(since: layout).isEmpty {
                masters = try await marks.leave(at: servers, notedIn: checkpointKey, markedMasters)
            }
            break
        }
        // The registry is in another slot, so it cannot be in that transaction. Until then the notice has kept other tasks
        // out.
        _ = try await execute(registry.command, at: TaskRegistry.key)
        return masters
    }

    /// Chooses the slots of the marks. All keys of a transaction must be in one slot.
    private func markedMasters(in layout: ClusterLayout) -> [MarkedMaster] {
        let others = [TaskRegistry.key, checkpointKey].map { KeySlot(of: $0) }
        return layout.markedMasters.map { master in
            var master = master
            for slot in others where master.shard.slots.contains(where: { $0.contains(slot.number) }) {
                master.slot = slot
            }
            return master
        }
    }

    private static let moved = TargetError(.notReady, "the cluster's slots have moved during a flush")

    private func execute(_ words: [String], at key: String) async throws(TargetError) -> RESPValue {
        let arguments = words.map(\.bytes)
        return try await servers.at(key.bytes) { (server) throws(TargetError) in
            try await server.execute(arguments, in: 0)
        }
    }

    /// The master that serves the checkpoint's slot.
    private func keeper(in layout: ClusterLayout) async throws(TargetError) -> TargetServers.Server? {
        let node = try await servers.cluster?.current().topology.master(of: KeySlot(of: checkpointKey))
        return layout.servers.first { $0.node == node }
    }

    private var flushWords: [[String]] {
        switch command {
        case .flushAll, .flushSlots: [["FLUSHALL", "ASYNC"]]
        case .flushDatabase(let database): [["SELECT", String(database)], ["FLUSHDB", "ASYNC"], ["SELECT", "0"]]
        }
    }

    /// The command that writes a server's marks; `nil` if the server gets none.
    private func markCommand(for server: TargetServers.Server, _ masters: [MarkedMaster]) -> [[UInt8]]? {
        let slot = masters.first { $0.shard.master == server.node }?.slot
        return slot.flatMap { marks?.command(in: $0) }
    }

    private func flush(_ server: TargetServers.Server, _ masters: [MarkedMaster]) async throws(TargetError) {
        let hasRegistry =
            try await servers.cluster?.current().topology.master(of: KeySlot(of: TaskRegistry.key))
            == server.node
        let words = flushWords + (hasRegistry ? [registry.command] : [])
        let mark = markCommand(for: server, masters)
        try await server.sequence { (sequence) throws(TargetError) in
            try await sequence.execute("SELECT", "0")
            try await sequence.execute("MULTI")
            for command in words { try await sequence.execute(command) }
            if let mark { try await sequence.execute(mark) }
            try Self.check(try await sequence.execute("EXEC"))
        }
    }

    /// Removes the keys of slots that have moved since `layout`, until none of these slots has any and moves no more.
    ///
    /// - Returns: the layout at the end.
    private func emptyMoved(since layout: ClusterLayout) async throws(TargetError) -> ClusterLayout {
        var (earlier, now) = (layout, try await ClusterLayout.read(servers))
        var slots = now.movedSlots(since: earlier)
        while !slots.isEmpty {
            let left = try await empty(slots, in: now)
            (earlier, now) = (now, try await ClusterLayout.read(servers))
            let open = Set(now.openSlots.map { KeySlot($0.slot) })
            // An open slot without keys gets none.
            slots.formIntersection(now.movedSlots(since: earlier).subtracting(open).union(left))
        }
        return now
    }

    /// Removes the keys of slots, whichever master has them.
    ///
    /// - Returns: the slots in which there were any.
    private func empty(_ slots: Set<KeySlot>, in layout: ClusterLayout) async throws(TargetError) -> Set<KeySlot> {
        var found: Set<KeySlot> = []
        for slot in slots.sorted() {
            for server in layout.holders(of: slot) where try await empty(slot, at: server) { found.insert(slot) }
        }
        return found
    }

    /// - Returns: whether there were keys to remove.
    private func empty(_ slot: KeySlot, at server: TargetServers.Server) async throws(TargetError) -> Bool {
        let databases: [UInt32] =
            if case .flushDatabase(let database) = command { [database] } else {
                ServerInfo(try await server.execute("INFO", "keyspace").text).keyCounts.keys.sorted()
            }
        var hasKeys = false
        for database in databases {
            let reply = try await server.execute(
                "CLUSTER", "GETKEYSINSLOT", "\(slot.number)", "\(Int32.max)", in: database)
            let keys = (reply.array ?? []).compactMap(\.bytes).filter { !isKept($0) }
            if keys.isEmpty { continue }
            hasKeys = true
            // The keys are removed one by one, because a command is refused if some of its keys have left. The master that
            // receives an open slot takes commands only after ASKING.
            let removals = keys.flatMap { [["ASKING".bytes], ["UNLINK".bytes, $0]] }
            _ = try await server.requests.pipeline(removals, in: database)
        }
        return hasKeys
    }

    /// Whether a key of df2redis' own stays: those of the owner, the checkpoint, the list of tasks and the nodes' marks do.
    private func isKept(_ key: [UInt8]) -> Bool {
        let name = String(decoding: SlotTag.untagged(key), as: UTF8.self)
        return name.hasPrefix("df2redis:node:") || name.hasPrefix("df2redis:flushing:") || name == TaskRegistry.key
            || key == Array(checkpointKey.utf8) || key == owner.map { Array($0.key.utf8) }
    }

    /// - Returns: `false` if the checkpoint was changed meanwhile, and everything must be done again.
    private func complete(
        at server: TargetServers.Server, _ fields: [(field: String, value: String)]?, _ masters: [MarkedMaster]
    ) async throws(TargetError) -> Bool {
        let texts = fields?.flatMap { [$0.field, $0.value] }
        let mark = markCommand(for: server, masters)
        let notes = (marks?.note(masters) ?? []).flatMap { [Array($0.field.utf8), Array($0.value.utf8)] }
        return try await server.sequence { (sequence) throws(TargetError) in
            try await sequence.execute("SELECT", "0")
            try await sequence.execute("WATCH", checkpointKey)
            let found = try await sequence.execute("HGETALL", checkpointKey).array ?? []
            let kept = (texts.map { $0.map(\.bytes) } ?? found.compactMap(\.bytes)) + notes
            try await sequence.execute("MULTI")
            for command in flushWords { try await sequence.execute(command) }
            // A flush of a database other than 0 does not remove the notice.
            try await sequence.execute(["DEL", FlushNotice.key(ofCheckpoint: checkpointKey)])
            if let mark { try await sequence.execute(mark) }
            if let owner { try await sequence.execute(owner.command) }
            if !kept.isEmpty { try await sequence.execute(["HSET".bytes, checkpointKey.bytes] + kept) }
            let replies = try await sequence.execute("EXEC")
            if case .array(nil) = replies { return false }
            try Self.check(replies)
            return true
        }
    }

    private static func check(_ replies: RESPValue) throws(TargetError) {
        for reply in replies.array ?? [] {
            if case .error(let text) = reply { throw TargetError.reply(text, to: "a flush") }
        }
    }

    // MARK: What other tasks see

    /// - Parameter others: the tasks found in the registry after this one has registered itself. So either they see this
    ///   task, or this task sees their notice.
    /// - Throws: `TargetError` if one of them is flushing the cluster.
    static func refuse(_ others: OtherTasks, _ servers: TargetServers) async throws(TargetError) {
        for key in others.databases.keys.sorted() {
            let notice = FlushNotice.key(ofCheckpoint: key).bytes
            let found = try await servers.at(notice) { (server) throws(TargetError) in
                try await server.execute(["EXISTS".bytes, notice], in: 0)
            }
            guard found.int == 0 else {
                throw TargetError(
                    .notReady, "the task of \(key) is emptying the cluster: this one waits until it is done")
            }
        }
    }
}

/// The key which says that the task of a checkpoint is flushing the cluster.
///
/// It is in the checkpoint's slot, so that the flush removes it last. A replica that takes a master's place may still have
/// it.
package enum FlushNotice {
    package static func key(ofCheckpoint checkpoint: String) -> String {
        String(
            decoding: SlotTag.key("df2redis:flushing:\(checkpoint)", in: KeySlot(of: checkpoint)), as: UTF8.self)
    }
}
