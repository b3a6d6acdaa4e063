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
            for (name, value) in try await info("server", of: server) where name == "run_id" {
                runIDs.append(String(value))
            }
            for (name, value) in try await info("stats", of: server) {
                switch name {
                case "expired_keys", "evicted_keys", "expired_subkeys", "expired_fields":
                    figures.losses += Int(value) ?? 0
                default: break
                }
            }
            for (name, value) in try await info("keyspace", of: server) {
                guard name.hasPrefix("db"), let database = UInt32(name.dropFirst(2)),
                    let keys = value.split(separator: ",").first(where: { $0.hasPrefix("keys=") })
                else { continue }
                figures.keys[database, default: 0] += Int(keys.dropFirst(5)) ?? 0
            }
        }
        figures.runID = TargetProfile.runID(ofAll: runIDs)
        return figures
    }

    private func info(
        _ section: String, of server: TargetServers.Server
    ) async throws(TargetError) -> [(name: Substring, value: Substring)] {
        let text = try await server.demand("INFO", section).text ?? ""
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (line[..<colon], line[line.index(after: colon)...])
        }
    }
}
