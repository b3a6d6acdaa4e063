import Wire

/// Reads and removes what `ElementExpiry` keeps for a task in a cluster: the due lists and shadows in the slots of their
/// keys.
struct ElementsInCluster: Sendable {
    private let servers: TargetServers
    private let task: String

    /// - Returns: `nil` if the target is a single server.
    init?(_ servers: TargetServers, task: String) {
        guard servers.cluster != nil else { return nil }
        (self.servers, self.task) = (servers, task)
    }

    /// The keys in the due lists of a database, by flow. Most slots have no list of any flow and are asked only once.
    func keys(flows: Int, _ database: UInt32) async throws(TargetError) -> [[[UInt8]]] {
        let slots = try await slots(flows: flows, database)
        var keys: [[[UInt8]]] = []
        for flow in 0..<flows {
            let due = ElementExpiry.dueKey(task: task, flow: flow)
            let lists = try await servers.inEachSlot(of: database, amongst: slots) {
                ["ZRANGE".bytes, SlotTag.key(due, in: $0)] + ["0", "-1"].map(\.bytes)
            }
            keys.append(lists.flatMap { $0.reply.array?.compactMap(\.bytes) ?? [] })
        }
        return keys
    }

    /// The slots that have a due list.
    private func slots(flows: Int, _ database: UInt32) async throws(TargetError) -> [KeySlot] {
        let lists = (0..<flows).map { ElementExpiry.dueKey(task: task, flow: $0) }
        return try await servers.count(of: lists, in: database).filter { $0.count > 0 }.map(\.slot)
    }

    /// The number of keys in the due lists of all flows.
    func count(flows: Int, _ database: UInt32) async throws(TargetError) -> Int {
        var count = 0
        let slots = try await slots(flows: flows, database)
        for flow in 0..<flows {
            let due = ElementExpiry.dueKey(task: task, flow: flow)
            let lists = try await servers.inEachSlot(of: database, amongst: slots) {
                ["ZCARD".bytes, SlotTag.key(due, in: $0)]
            }
            count += lists.reduce(0) { $0 + Int($1.reply.int ?? 0) }
        }
        return count
    }

    /// Removes all due lists and shadows of the task, no matter how many flows it had.
    ///
    /// - Parameter temporaries: whether to remove the temporary keys of an interrupted cross-slot command, too. Pass `true`
    ///   only if no process continues that command.
    /// - Returns: the number of shadows.
    func forget(in databases: [UInt32], temporaries isAll: Bool) async throws(TargetError) -> Int {
        let (shadows, lists) = (ElementExpiry.shadowPrefix(task: task), ElementExpiry.dueKeys(task: task))
        let temporaries = SlotMark.temporaryKeys(task: task).bytes
        var count = 0
        for database in databases {
            let names = try await servers.keys(like: "{*}df2redis:t[tm]*:*", in: database).map { key in
                (key: key, name: key.drop { $0 != UInt8(ascii: "}") }.dropFirst())
            }
            let prefixes = [shadows, lists] + (isAll ? [temporaries] : [])
            let own = names.filter { name in prefixes.contains { name.name.starts(with: $0) } }
            let keys = own.map(\.key)
            try await servers.each(keys, in: database) { places in ["UNLINK".bytes] + places.map { keys[$0] } }
            count += own.count { $0.name.starts(with: shadows) }
        }
        return count
    }
}
