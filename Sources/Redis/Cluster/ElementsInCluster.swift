import Wire

/// What `ElementExpiry` keeps of a task in a cluster: due lists and shadows in the slots of their keys.
struct ElementsInCluster: Sendable {
    private let servers: TargetServers
    private let task: String

    /// - Returns: `nil` where the target is a server by itself.
    init?(_ servers: TargetServers, task: String) {
        guard servers.cluster != nil else { return nil }
        (self.servers, self.task) = (servers, task)
    }

    /// The keys in a flow's due lists of a database.
    func keys(_ flow: Int, _ database: UInt32) async throws(TargetError) -> [[UInt8]] {
        let due = ElementExpiry.dueKey(task: task, flow: flow)
        let lists = try await servers.inEachSlot(of: database) {
            [Array("ZRANGE".utf8), SlotTag.key(due, in: $0)] + ["0", "-1"].map { Array($0.utf8) }
        }
        return lists.flatMap { $0.reply.array?.compactMap(\.bytes) ?? [] }
    }

    /// How many there are of all flows.
    func count(flows: Int, _ database: UInt32) async throws(TargetError) -> Int {
        var count = 0
        for flow in 0..<flows {
            let due = ElementExpiry.dueKey(task: task, flow: flow)
            let lists = try await servers.inEachSlot(of: database) { [Array("ZCARD".utf8), SlotTag.key(due, in: $0)] }
            count += lists.reduce(0) { $0 + Int($1.reply.int ?? 0) }
        }
        return count
    }

    /// Removes all due lists and shadows of the task, whatever flows it had.
    ///
    /// - Returns: the number of shadows.
    func forget(in databases: [UInt32]) async throws(TargetError) -> Int {
        let (shadows, lists) = (ElementExpiry.shadowPrefix(task: task), ElementExpiry.dueKeys(task: task))
        var count = 0
        for database in databases {
            let names = try await servers.keys(like: "{*}df2redis:ttl*:*", in: database).map { key in
                (key: key, name: key.drop { $0 != UInt8(ascii: "}") }.dropFirst())
            }
            let own = names.filter { $0.name.starts(with: shadows) || $0.name.starts(with: lists) }
            let keys = own.map(\.key)
            try await servers.each(keys, in: database) { places in [Array("UNLINK".utf8)] + places.map { keys[$0] } }
            count += own.count { $0.name.starts(with: shadows) }
        }
        return count
    }
}
