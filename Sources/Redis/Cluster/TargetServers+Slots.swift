import Wire

/// Keys of df2redis' own that may be in any slot of a cluster.
extension TargetServers {
    /// Requests of one pipeline.
    private static let pipelineLength = 2048

    /// How many of some keys there are in every slot, from their names without the tag.
    ///
    /// They are asked for together; in a slot that is open between two nodes, neither of which may have them all, one by one.
    func count(of names: [[UInt8]], in database: UInt32) async throws(TargetError) -> [(slot: KeySlot, count: Int)] {
        let exists = Array("EXISTS".utf8)
        let replies = try await inEachSlot(of: database) { slot in
            [exists] + names.map { SlotTag.key($0, in: slot) }
        } apart: { slot in
            names.map { [exists, SlotTag.key($0, in: slot)] }
        }
        return replies.map { ($0.slot, Int($0.reply.int ?? 0)) }
    }

    /// Makes a request in every slot, or in some.
    ///
    /// - Parameter apart: requests, answered by numbers, whose sum is the answer where one for all their keys fails.
    /// - Throws: `TargetError`, for an error reply too.
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
                // A node that is lost is found out about below.
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
                                try await server.demand(arguments, in: database)
                            })
                    }
                    let sum = RESPValue.integer(replies.reduce(0) { $0 + ($1.int ?? 0) })
                    answers.append((slot, apart == nil ? replies[0] : sum))
                }
            }
        }
        return answers
    }

    /// Marks of a task's flows, in slots and of nodes.
    func markCount(of task: String) async throws(TargetError) -> Int {
        let names = [SlotMark.slotKey(task: task), SlotMark.nodeKey(task: task)].map { Array($0.utf8) }
        return try await count(of: names, in: 0).reduce(0) { $0 + $1.count }
    }

    /// A flow of the task has left a mark of the stable stream at some master: it has got through a full sync.
    func hasStableMarks(of task: String) async throws(TargetError) -> Bool {
        let name = SlotMark.nodeKey(task: task)
        let replies = try await inEachSlot(of: 0) { [Array("HVALS".utf8), SlotTag.key(name, in: $0)] }
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
                    try await server.demand("SCAN", cursor, "MATCH", pattern, "COUNT", "10000", in: database))
                cursor = page.cursor
                keys += page.keys
            } while cursor != "0"
        }
        return keys
    }
}
