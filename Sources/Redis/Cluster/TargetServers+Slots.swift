import Wire

/// Access to df2redis' own keys that may be in any slot of a cluster.
extension TargetServers {
    /// The maximum number of requests in one pipeline.
    private static let pipelineLength = 2048

    /// Counts how many of some keys exist in every slot. The names are given without the tag.
    ///
    /// One request asks for all keys of a slot. In a slot that is being moved, neither node may have them all, so the keys
    /// are asked for one by one.
    func count(of names: [[UInt8]], in database: UInt32) async throws(TargetError) -> [(slot: KeySlot, count: Int)] {
        let exists = "EXISTS".bytes
        let replies = try await inEachSlot(of: database) { slot in
            [exists] + names.map { SlotTag.key($0, in: slot) }
        } apart: { slot in
            names.map { [exists, SlotTag.key($0, in: slot)] }
        }
        return replies.map { ($0.slot, Int($0.reply.int ?? 0)) }
    }

    /// Makes a request in every slot or in some slots.
    ///
    /// - Parameter apart: requests that are made if the single request for all keys of a slot fails. They are answered by
    ///   numbers, whose sum is the reply.
    /// - Throws: `TargetError`, also for an error reply.
    func inEachSlot(
        of database: UInt32, amongst slots: [KeySlot] = Array(KeySlot.all), _ request: @Sendable (KeySlot) -> [[UInt8]],
        apart: (@Sendable (KeySlot) -> [[[UInt8]]])? = nil
    ) async throws(TargetError) -> [(slot: KeySlot, reply: RESPValue)] {
        guard let cluster else { return [] }
        let topology = try await cluster.current().topology
        var answers: [(slot: KeySlot, reply: RESPValue)] = []
        answers.reserveCapacity(slots.count)
        let groups = Dictionary(grouping: slots) { topology.master(of: $0)?.endpoint }
        let servers = try await all(isFresh: false)
        for (endpoint, slots) in groups {
            let server = servers.first { $0.node?.endpoint == endpoint }
            for start in stride(from: 0, to: slots.count, by: Self.pipelineLength) {
                let some = slots[start..<min(start + Self.pipelineLength, slots.count)]
                let requests = some.map(request)
                // If the node is lost, the requests below find out.
                let replies = try? await server?.requests.pipeline(requests, in: database)
                for (place, slot) in some.enumerated() {
                    if let reply = replies?[place], reply.errorText == nil {
                        answers.append((slot, reply))
                        continue
                    }
                    var replies: [RESPValue] = []
                    for arguments in apart?(slot) ?? [requests[place]] {
                        replies.append(
                            try await at(SlotTag.key("", in: slot)) { (server) throws(TargetError) in
                                try await server.execute(arguments, in: database)
                            })
                    }
                    let sum = RESPValue.integer(replies.reduce(0) { $0 + ($1.int ?? 0) })
                    answers.append((slot, apart == nil ? replies[0] : sum))
                }
            }
        }
        return answers
    }

    /// The number of hashes with marks of a task's flows, in slots and of nodes.
    func markCount(of task: String) async throws(TargetError) -> Int {
        let names = [SlotMark.slotKey(task: task), SlotMark.nodeKey(task: task)].map(\.bytes)
        return try await count(of: names, in: 0).reduce(0) { $0 + $1.count }
    }

    /// Whether a flow of the task has left a mark of the stable stream at any master, which means that it completed a full
    /// sync.
    func hasStableMarks(of task: String) async throws(TargetError) -> Bool {
        let name = SlotMark.nodeKey(task: task)
        let replies = try await inEachSlot(of: 0) { ["HVALS".bytes, SlotTag.key(name, in: $0)] }
        return replies.contains { _, reply in
            (reply.array ?? []).contains { $0.text.flatMap { SlotMark($0) }?.position != nil }
        }
    }

    /// All keys of every master that match `pattern`.
    func keys(like pattern: String, in database: UInt32) async throws(TargetError) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        for server in try await all() {
            var cursor = "0"
            repeat {
                let page = try TargetControl.page(
                    try await server.execute("SCAN", cursor, "MATCH", pattern, "COUNT", "10000", in: database))
                cursor = page.cursor
                keys += page.keys
            } while cursor != "0"
        }
        return keys
    }
}
