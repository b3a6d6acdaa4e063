import Link
package import Wire

/// What the target reports about its memory and its keys.
package struct TargetFigures: Equatable, Sendable {
    /// The run ID, which changes with the server process.
    package var runID = ""
    /// The number of keys that were removed for lack of memory, and because of their TTL, since the process began.
    package var evictedKeys = 0
    package var expiredKeys = 0
    /// The value of maxmemory; zero if only the machine sets a limit.
    package var memoryLimitBytes = 0
    /// The value of maxmemory-policy.
    package var evictionPolicy = ""
    package var keysByDatabase: [UInt32: Int] = [:]

    package init() {}

    package init(_ info: ServerInfo) {
        func number(_ name: String) -> Int { info[name].flatMap { Int($0) } ?? 0 }
        runID = info["run_id"] ?? ""
        evictedKeys = number("evicted_keys")
        expiredKeys = number("expired_keys")
        memoryLimitBytes = number("maxmemory")
        evictionPolicy = info["maxmemory_policy"] ?? ""
        keysByDatabase = info.keyCounts
    }

    /// The figures of a cluster, from those of its masters.
    init(sumOf all: [TargetFigures]) {
        runID = TargetProfile.runID(ofAll: all.map(\.runID))
        evictedKeys = all.reduce(0) { $0 + $1.evictedKeys }
        expiredKeys = all.reduce(0) { $0 + $1.expiredKeys }
        for figures in all { keysByDatabase.merge(figures.keysByDatabase, uniquingKeysWith: +) }
        // If one master may evict, this counts for all.
        let example = all.first(where: \.mayEvict) ?? all.first
        memoryLimitBytes = example?.memoryLimitBytes ?? 0
        evictionPolicy = example?.evictionPolicy ?? ""
    }

    /// The number of keys in all databases.
    package var keys: Int { keysByDatabase.values.reduce(0, +) }

    /// Whether the target removes keys when its memory is full instead of refusing writes.
    package var mayEvict: Bool { memoryLimitBytes > 0 && !evictionPolicy.isEmpty && evictionPolicy != "noeviction" }

    /// Whether the target may evict keys without a TTL. df2redis' own keys have none.
    package var evictsMarks: Bool { mayEvict && evictionPolicy.hasPrefix("allkeys") }

    /// The addresses of a master's replicas.
    ///
    /// - Parameter info: the reply to INFO replication, with a line `slave<n>:ip=<host>,port=<port>,...` for each replica.
    static func replicas(in info: ServerInfo) -> [Endpoint] {
        let lines = info.fields.filter { $0.key.hasPrefix("slave") && Int($0.key.dropFirst(5)) != nil }
        return lines.values.compactMap { value in
            var (host, port) = (Substring(), UInt16?.none)
            for part in value.split(separator: ",") {
                if part.hasPrefix("ip=") { host = part.dropFirst(3) }
                if part.hasPrefix("port=") { port = UInt16(part.dropFirst(5)) }
            }
            guard let port, port > 0, !host.isEmpty else { return nil }
            return Endpoint(host: String(host), port: port)
        }
    }
}

extension TargetControl {
    package func figures() async throws(TargetError) -> TargetFigures {
        let all = try await servers.executeEverywhere("INFO").map { TargetFigures(ServerInfo($0.text)) }
        return TargetFigures(sumOf: all)
    }
}
