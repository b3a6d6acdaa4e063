import Wire

/// Access to the TTLs of elements of a whole task, between two sessions.
package struct TaskElements: Sendable {
    private let task: String
    private let control: TargetControl
    private var servers: TargetServers { control.servers }

    package init(_ task: String, on control: TargetControl) { (self.task, self.control) = (task, control) }

    /// The keys that the due lists of some databases hold, by flow and database.
    package func dueKeys(flows: Int, databases: [UInt32]) async throws(TargetError) -> [[UInt32: [[UInt8]]]] {
        var found = [[UInt32: [[UInt8]]]](repeating: [:], count: flows)
        if let own = ElementsInCluster(servers, task: task) {
            for database in databases {
                for (flow, keys) in try await own.keys(flows: flows, database).enumerated() {
                    found[flow][database] = keys
                }
            }
            return found
        }
        let places = databases.flatMap { database in (0..<flows).map { (flow: $0, database: database) } }
        func scan(_ flow: Int, _ cursor: String) -> [String] {
            [
                "ZSCAN", String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self), cursor, "COUNT",
                "1000",
            ]
        }
        // Often the first page of a list contains all of it.
        let firstPages = try await servers.ask(places.map { .init(scan($0.flow, "0"), in: $0.database) }) ?? []
        for ((flow, database), answer) in zip(places, firstPages) {
            if case .error(let text) = answer { throw TargetError.reply(text, to: "ZSCAN") }
            var (keys, cursor) = try Self.members(answer)
            while cursor != "0" {
                let page = try Self.members(try await control.execute(scan(flow, cursor), at: "", in: database))
                keys += page.keys
                cursor = page.cursor
            }
            found[flow][database] = keys
        }
        return found
    }

    /// - Parameter page: the reply to ZSCAN.
    private static func members(_ page: RESPValue) throws(TargetError) -> (keys: [[UInt8]], cursor: String) {
        guard let page = page.array, page.count == 2, let next = page[0].text, let pairs = page[1].array else {
            throw TargetError(.protocolViolation, "the target's answer to ZSCAN is not a page")
        }
        return (stride(from: 0, to: pairs.count, by: 2).compactMap { pairs[$0].bytes }, next)
    }

    /// The number of keys with elements whose TTLs only this task ends.
    package func count(flowCount: Int) async throws(TargetError) -> Int {
        var count = 0
        let own = ElementsInCluster(servers, task: task)
        for database in try await control.databasesWithKeys() {
            if let own { count += try await own.count(flows: flowCount, database) }
            for flow in 0..<(own == nil ? flowCount : 0) {
                let name = String(decoding: ElementExpiry.dueKey(task: task, flow: flow), as: UTF8.self)
                count += Int(try await control.execute(["ZCARD", name], at: name, in: database).int ?? 0)
            }
        }
        return count
    }

    /// Removes the TTLs of all elements; the elements stay. Call this before anything of the task is running.
    ///
    /// - Parameters:
    ///   - databases: the databases that may hold some.
    ///   - isFullSync: whether to remove also what an interrupted cross-slot command has left in a cluster.
    /// - Returns: the number of keys that had such TTLs.
    package func forget(in databases: [UInt32], isFullSync: Bool = false) async throws(TargetError) -> Int {
        if let own = ElementsInCluster(servers, task: task) {
            return try await own.forget(in: databases, temporaries: isFullSync)
        }
        let shadows = ElementExpiry.shadowPrefix(task: task)
        var total = 0
        for database in databases {
            for list in ElementExpiry.dueKeys(ofTask: task) {
                while true {
                    let range = ["ZRANGE".bytes, list, "0".bytes, "999".bytes]
                    let keys = try await control.execute(range, at: list, in: database).array?.compactMap(\.bytes) ?? []
                    if keys.isEmpty { break }
                    try await control.unlink(keys.map { shadows + $0 }, database: database)
                    _ = try await control.execute(["ZREM".bytes, list] + keys, at: list, in: database)
                    total += keys.count
                }
            }
        }
        return total
    }
}
