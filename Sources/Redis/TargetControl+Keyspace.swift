import Wire

/// What the target reports about its keys.
package struct KeyspaceFigures: Equatable, Sendable {
    /// The number of keys by database, including all kinds of keys.
    package var keys: [UInt32: Int] = [:]
    /// The number of keys and hash fields that the target has expired, and of keys that it has evicted, since its start.
    package var losses = 0
    package var runID = ""
}

extension TargetControl {
    /// The number of df2redis' own keys in a database, counting those that a task always has.
    package func ownKeyCount(
        checkpoint: String, task: String, in database: UInt32
    ) async throws(TargetError) -> Int {
        var count = 0
        if !isInCluster { count = try await exists(DatabaseMark.key(task: task).bytes, in: database) ? 1 : 0 }
        guard database == 0 else { return count }
        return count + (try await exist(OwnershipRecord.companions(of: checkpoint, isInCluster: isInCluster)))
            + (try await servers.markCount(of: task))
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
        ServerInfo(try await server.execute("INFO", section).text)
    }
}
