import Link
package import Wire

/// Queries a master, on its own ordinary connection, for what the journal does not show.
package actor SourceInspector {
    private let timeout: Duration
    private let connection: SourceConnection

    /// - Parameter socketStore: also keeps this connection.
    package init(settings: SourceSettings, socketStore: any SocketStore) {
        timeout = settings.connectTimeout
        connection = SourceConnection(
            settings: settings, socketStore: socketStore, socketName: StoredSocketName.inspector,
            label: "df2redis.inspector")
    }

    /// - Throws: `SourceError`.
    package func figures() async throws(SourceError) -> SourceFigures {
        var figures = SourceFigures()
        figures.isLoading = try await info("persistence")["loading"].map { $0 != "0" } ?? false
        figures.keys = try await info("keyspace").keyCounts
        if figures.isLoading { return figures }
        let reply = try await request("DFLY", "REPLICAOFFSET")
        if case .error(let text) = reply {
            guard text.hasPrefix("LOADING") else { throw SourceError.reply(text, to: "DFLY REPLICAOFFSET") }
            figures.isLoading = true
        }
        figures.nextLSNs = (reply.array ?? []).compactMap { $0.int.map { LSN(UInt64(clamping: $0)) } }
        return figures
    }

    /// The next LSN of each shard (Protocol 2.8).
    ///
    /// - Throws: `SourceError`.
    package func nextLSNs(flowCount: Int) async throws(SourceError) -> [LSN] {
        let reply = try await request("DFLY", "REPLICAOFFSET")
        if case .error(let text) = reply { throw SourceError.reply(text, to: "DFLY REPLICAOFFSET") }
        let offsets = (reply.array ?? []).compactMap(\.int)
        guard offsets.count == flowCount else {
            throw SourceError(.protocolViolation, "DFLY REPLICAOFFSET does not give an offset for each flow")
        }
        return offsets.map { LSN(UInt64(clamping: $0)) }
    }

    /// The number of keys in all databases.
    ///
    /// - Throws: `SourceError`.
    package func keyCount() async throws(SourceError) -> Int {
        try await info("keyspace").keyCounts.values.reduce(0, +)
    }

    /// - Throws: `SourceError`.
    package func calls() async throws(SourceError) -> SourceCalls {
        var calls = SourceCalls(flushes: 0, roleChanges: 0)
        for (name, value) in try await info("commandstats").fields {
            guard let count = value.split(separator: ",").first.flatMap({ Int($0.dropFirst("calls=".count)) }) else {
                continue
            }
            switch name.lowercased() {
            case "cmdstat_flushall", "cmdstat_flushdb": calls.flushes += count
            case "cmdstat_replicaof", "cmdstat_slaveof", "cmdstat_repltakeover": calls.roleChanges += count
            default: break
            }
        }
        return calls
    }

    /// - Throws: `SourceError`.
    package func replicationID() async throws(SourceError) -> String? { try await info("replication")["master_replid"] }

    /// - Returns: `nil` if the master is not a release.
    /// - Throws: `SourceError`.
    package func version() async throws(SourceError) -> SourceVersion? {
        try await info("server")["dragonfly_version"].flatMap { SourceVersion($0) }
    }

    private func info(_ section: String) async throws(SourceError) -> ServerInfo {
        let reply = try await request("INFO", section)
        if case .error(let text) = reply { throw SourceError.reply(text, to: "INFO \(section)") }
        return ServerInfo(reply.text)
    }

    private func request(_ words: String...) async throws(SourceError) -> RESPValue {
        do {
            return try await connection.open().request(words.map(\.bytes), timeout: timeout)
        } catch {
            throw SourceError(ordinary: error)
        }
    }

    /// Closes the connection FIN-first.
    package func close() async { await connection.close() }
}
