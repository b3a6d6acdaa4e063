import Wire

/// The elements' TTLs of a whole task, between two sessions.
extension TargetControl {
    /// Flows that a task may have had.
    private static let maxFlows = 1024

    /// The keys that the due lists of one database hold, by flow.
    package func dueKeys(task: String, flows: Int, database: UInt32) async throws(TargetError) -> [[[UInt8]]] {
        if let own = ElementsInCluster(servers, task: task) { return try await own.keys(flows: flows, database) }
        var keys: [[[UInt8]]] = []
        for flow in 0..<flows {
            let name = String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self)
            var (own, cursor) = ([[UInt8]](), "0")
            repeat {
                let reply = try await demand(["ZSCAN", name, cursor, "COUNT", "1000"], at: name, in: database)
                guard let page = reply.array, page.count == 2, let next = page[0].text, let pairs = page[1].array
                else { throw TargetError(.protocolViolation, "the target's answer to ZSCAN is not a page") }
                own += stride(from: 0, to: pairs.count, by: 2).compactMap { pairs[$0].bytes }
                cursor = next
            } while cursor != "0"
            keys.append(own)
        }
        return keys
    }

    /// Keys with elements whose TTLs nobody but the task ends.
    package func dueKeyCount(task: String, flowCount: Int) async throws(TargetError) -> Int {
        var count = 0
        let own = ElementsInCluster(servers, task: task)
        for database in try await databasesWithKeys() {
            if let own { count += try await own.count(flows: flowCount, database) }
            for flow in 0..<(own == nil ? flowCount : 0) {
                let name = String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self)
                count += Int(try await demand(["ZCARD", name], at: name, in: database).int ?? 0)
            }
        }
        return count
    }

    /// Forgets all elements' TTLs; the elements stay. Before anything of the task is under way.
    ///
    /// - Parameter isFullSync: in a cluster, what an interrupted command over several slots has left goes too.
    /// - Returns: the number of keys that had some.
    package func forgetElementExpiries(task: String, isFullSync: Bool = false) async throws(TargetError) -> Int {
        if let own = ElementsInCluster(servers, task: task) {
            return try await own.forget(in: databasesWithKeys(), temporaries: isFullSync)
        }
        let lists = (0..<Self.maxFlows).map { ElementExpiry.dueKey(task: task, flow: $0) }
        let shadows = ElementExpiry.shadowPrefix(task: task)
        var total = 0
        for database in try await databasesWithKeys() {
            guard try await demand([Array("EXISTS".utf8)] + lists, at: lists[0], in: database).int ?? 0 > 0 else {
                continue
            }
            for list in lists {
                while true {
                    let range = [Array("ZRANGE".utf8), list, Array("0".utf8), Array("999".utf8)]
                    let keys = try await demand(range, at: list, in: database).array?.compactMap(\.bytes) ?? []
                    if keys.isEmpty { break }
                    try await unlink(keys.map { shadows + $0 }, database: database)
                    _ = try await demand([Array("ZREM".utf8), list] + keys, at: list, in: database)
                    total += keys.count
                }
            }
        }
        return total
    }
}
