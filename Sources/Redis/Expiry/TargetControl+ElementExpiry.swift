import Wire

/// The elements' TTLs of a whole task, between two sessions.
extension TargetControl {
    /// Flows that a task may have had.
    private static let maxFlows = 1024

    /// A page of the keys that a flow's due list of one database holds.
    package func dueKeys(
        task: String, flow: Int, database: UInt32, cursor: String
    ) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        if let own = ElementsInCluster(servers, task: task) { return ("0", try await own.keys(flow, database)) }
        let name = String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self)
        guard let page = try await demand(["ZSCAN", name, cursor, "COUNT", "1000"], at: name, in: database).array,
            page.count == 2,
            let next = page[0].text, let pairs = page[1].array
        else { throw TargetError(.protocolViolation, "the target's answer to ZSCAN is not a page") }
        return (next, stride(from: 0, to: pairs.count, by: 2).compactMap { pairs[$0].bytes })
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
    /// - Returns: the number of keys that had some.
    package func forgetElementExpiries(task: String) async throws(TargetError) -> Int {
        if let own = ElementsInCluster(servers, task: task) { return try await own.forget(in: databasesWithKeys()) }
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
