import Wire

/// What the target says of its own keys.
package struct KeyspaceFigures: Equatable, Sendable {
    /// Keys by database, of whatever kind.
    package var keys: [UInt32: Int] = [:]
    /// Keys and hash fields that it has expired, and keys that it has evicted, since its start.
    package var losses = 0
    package var runID = ""
}

extension TargetControl {
    /// How many keys of df2redis' own there are in database 0, of those that a task has at all times.
    package func ownKeyCount(checkpoint: String, task: String) async throws(TargetError) -> Int {
        try await exist(OwnershipRecord.companions(of: checkpoint, isInCluster: isInCluster))
            + servers.markCount(of: task)
    }

    /// - Throws: `TargetError`.
    package func keyspaceFigures() async throws(TargetError) -> KeyspaceFigures {
        var figures = KeyspaceFigures()
        var runIDs: [String] = []
        for server in try await servers.all() {
            if let runID = try await info("server", of: server)["run_id"] { runIDs.append(runID) }
            let stats = try await info("stats", of: server)
            for name in ["expired_keys", "evicted_keys", "expired_subkeys", "expired_fields"] {
                figures.losses += stats[name].flatMap { Int($0) } ?? 0
            }
            figures.keys.merge(try await info("keyspace", of: server).keyCounts, uniquingKeysWith: +)
        }
        figures.runID = TargetProfile.runID(ofAll: runIDs)
        return figures
    }

    private func info(_ section: String, of server: TargetServers.Server) async throws(TargetError) -> ServerInfo {
        ServerInfo(try await server.demand("INFO", section).text)
    }
}
