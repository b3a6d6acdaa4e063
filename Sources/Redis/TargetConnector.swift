package import Link
import Wire

/// How to reach the target.
package struct TargetSettings: Sendable {
    /// Where it is, unless sentinels are asked.
    package var endpoint: Endpoint
    /// Whom to ask where it is.
    package var sentinel: SentinelSettings?
    /// Asks them; made by whoever runs the task.
    package var locator: SentinelLocator?
    package var user: String?
    package var password: String?
    /// How its connections are encrypted; `nil`: not at all.
    package var tls: TLSSettings?
    /// Shown by CLIENT LIST on the target.
    package var clientName: String
    package var timeout: Duration = .seconds(10)
    /// Who runs the task; a connection is not opened while the target names somebody else. `nil`: nobody asks.
    package var owner: OwnershipRecord?
    /// How the other nodes are found, where the target is a cluster; `endpoint` is one of the seeds.
    package var cluster: ClusterAddresses?
    /// The server is to be a node of a cluster; else it is to be none.
    package var isClusterNode = false

    package init(endpoint: Endpoint, user: String? = nil, password: String? = nil, clientName: String) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.clientName = clientName
    }

    /// Where the target is, for people: with sentinels where it was last.
    package var place: String {
        guard let sentinel else { return endpoint.description }
        return locator?.current.map { "\($0) (\(sentinel.master))" } ?? sentinel.master
    }
}

/// Where a cluster's nodes are.
package struct ClusterAddresses: Equatable, Sendable {
    /// Nodes to ask for all others, in turn.
    package var seeds: [Endpoint]
    /// Where nodes are reached, by the addresses that they announce.
    package var map: [Endpoint: Endpoint] = [:]

    package init(seeds: [Endpoint], map: [Endpoint: Endpoint] = [:]) { (self.seeds, self.map) = (seeds, map) }
}

/// Opens connections to the target and learns what it is.
package struct TargetConnector: Sendable {
    package let settings: TargetSettings
    /// The server expires nothing by itself, and shows us what has expired; asked for anew on each connection, since a
    /// restart may have ended it.
    package var usesImportMode = false { didSet { cluster?.usesImportMode = usesImportMode } }
    /// The way to all nodes, where the target is a cluster: then nothing is to be asked of the connector itself.
    package let cluster: ClusterConnector?

    package init(settings: TargetSettings) {
        self.settings = settings
        cluster = settings.cluster.map { addresses in
            var cluster = ClusterSettings(seeds: addresses.seeds, target: settings)
            cluster.addressMap = addresses.map
            return ClusterConnector(settings: cluster)
        }
    }

    /// Connects, authenticates and names the connection.
    ///
    /// - Parameter replacing: there was a connection of this role before, of unknown fate: it is ended first (`evict`).
    /// - Throws: `TargetError`.
    package func connect(role: String, replacing: Bool = false) async throws(TargetError) -> RequestConnection {
        do {
            let endpoint = try await settings.locator?.master() ?? settings.endpoint
            let connection = try await RequestConnection.connect(
                to: endpoint, tls: settings.tls, label: "df2redis.target.\(role)", timeout: settings.timeout)
            do {
                if let arguments = authentication(user: settings.user, password: settings.password) {
                    try await demand(arguments, on: connection)
                }
                let name = "\(settings.clientName):\(role)"
                // Errors in this name are of no interest, but the first reply says whether we may talk at all.
                if case .error(let text) = try await connection.request(
                    "CLIENT", "SETNAME", name, timeout: settings.timeout)
                {
                    let refusal = TargetError.reply(text, to: "CLIENT SETNAME")
                    let mayTalk = refusal.code == .unsuitable || text.hasPrefix("NOPERM")
                    if !mayTalk { throw refusal }
                }
                if let locator = settings.locator {
                    try await demandMaster(locator, on: connection)
                    await locator.follow(connection)
                }
                // After the name: whoever takes the task over writes its record first and looks for names then. So this
                // connection is either found by it, or finds its record.
                if let owner = settings.owner {
                    let reply = try await connection.request("GET", owner.key, timeout: settings.timeout)
                    if case .error(let text) = reply { throw TargetError.reply(text, to: "GET", key: owner.key) }
                    try owner.check(reply.text)
                }
                if replacing { _ = try await evict(on: connection) { $0 == name } }
                if usesImportMode {
                    try await demand(["CONFIG", "SET", "import-mode", "yes"], on: connection)
                    try await demand(["CLIENT", "IMPORT-SOURCE", "ON"], on: connection)
                }
                return connection
            } catch {
                await connection.close()
                throw error
            }
        } catch {
            throw TargetError(error)
        }
    }

    /// Ends the other connections of this task, which a killed process or a broken network may have left behind.
    ///
    /// What such a connection has sent may still lie in the target's socket, and a server that was stopped reads it when
    /// it comes back: its transaction would then take effect behind a checkpoint that has been read already. A connection
    /// that the target has closed cannot.
    ///
    /// - Returns: `false` when the target does not allow it.
    package func evictPredecessors(on connection: RequestConnection) async throws(TargetError) -> Bool {
        do {
            return try await evict(on: connection) { $0.hasPrefix("\(settings.clientName):") }
        } catch {
            throw TargetError(error)
        }
    }

    /// Whether the target has connections of this task's name besides `connection`; `nil` when it does not say.
    func others(on connection: RequestConnection) async throws(TargetError) -> Bool? {
        do {
            // Those that a process opens for one question, and closes, are perhaps still on the list.
            let brief = [TargetRights.role, ClusterConnector.topologyRole].map { "\(settings.clientName):\($0)" }
            return try await ids(on: connection) {
                $0.hasPrefix("\(settings.clientName):") && !brief.contains($0)
            }.map { !$0.isEmpty }
        } catch {
            throw TargetError(error)
        }
    }

    /// The ids of the other connections whose name is asked for; `nil` when the target does not say.
    private func ids(on connection: RequestConnection, _ isWanted: (String) -> Bool) async throws -> [String]? {
        let id = try await connection.request("CLIENT", "ID", timeout: settings.timeout)
        let list = try await connection.request("CLIENT", "LIST", timeout: settings.timeout)
        for case .error(let text) in [id, list] where TargetError.isTransientReply(text) {
            // A target that is busy with a script answers nothing else: it is no answer to whether it is allowed.
            throw TargetError.reply(text, to: "CLIENT LIST")
        }
        guard let own = id.int, let list = list.text else { return nil }
        return list.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            func field(_ name: String) -> String? {
                fields.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) }
            }
            guard let name = field("name"), isWanted(name), let id = field("id"), id != String(own) else { return nil }
            return id
        }
    }

    private func evict(on connection: RequestConnection, _ isDoomed: (String) -> Bool) async throws -> Bool {
        guard let doomed = try await ids(on: connection, isDoomed) else { return false }
        for id in doomed {
            let reply = try await connection.request("CLIENT", "KILL", "ID", id, timeout: settings.timeout)
            if case .error(let text) = reply {
                if TargetError.isTransientReply(text) { throw TargetError.reply(text, to: "CLIENT KILL") }
                // It may have gone by itself meanwhile.
                if !text.contains("No such client") { return false }
            }
        }
        return true
    }

    /// A master that has come back does not know yet that it is a replica now, or a sentinel does not.
    private func demandMaster(_ locator: SentinelLocator, on connection: RequestConnection) async throws {
        let reply = try await connection.request("INFO", "replication", timeout: settings.timeout)
        let fields = ServerInfo(reply.text)
        guard fields["role"] == "slave" else { return }
        throw TargetError(
            .notReady,
            "the sentinels name \(connection.endpoint) as the master of '\(locator.settings.master)' (target.sentinel.master), and "
                + "it is a replica of \(fields["master_host"] ?? "?"):\(fields["master_port"] ?? "?"): a failover is not over"
        )
    }

    private func demand(_ arguments: [String], on connection: RequestConnection) async throws {
        let reply = try await connection.request(arguments.map { Array($0.utf8) }, timeout: settings.timeout)
        if case .error(let text) = reply { throw TargetError.reply(text, to: arguments[0]) }
    }

    /// Asks the target what it is, and refuses what we cannot replicate into.
    package func profile(on connection: RequestConnection) async throws(TargetError) -> TargetProfile {
        do {
            let reply = try await connection.request("INFO", timeout: settings.timeout)
            if case .error(let text) = reply { throw TargetError.reply(text, to: "INFO") }
            guard let info = reply.text else {
                throw TargetError(.protocolViolation, "the target's INFO is not a text")
            }
            let fields = ServerInfo(info)
            if fields["dragonfly_version"] != nil {
                throw TargetError(.unsuitable, "the target is a Dragonfly; df2redis writes to Redis or Valkey")
            }
            guard let versionText = fields["redis_version"] else {
                throw TargetError(.unsuitable, "the target does not tell its redis_version: it is no Redis or Valkey")
            }
            let flavor: TargetProfile.Flavor = fields["server_name"] == "valkey" ? .valkey : .redis
            guard let version = TargetProfile.Version(fields["valkey_version"] ?? versionText) else {
                throw TargetError(.unsuitable, "the target's version \(versionText) cannot be read")
            }
            guard version >= TargetProfile.oldestVersion else {
                throw TargetError(.unsuitable, "the target is \(flavor.rawValue) \(version); 7.0 or later is needed")
            }
            let isClusterNode = fields["cluster_enabled"] == "1"
            if isClusterNode != settings.isClusterNode {
                throw TargetError(
                    .unsuitable,
                    isClusterNode
                        ? "the target \(settings.endpoint) is a node of a cluster: set target.type: cluster"
                        : "the target \(settings.endpoint) is no node of a cluster: set target.type: standalone")
            }
            if fields["role"] == "slave" {
                throw TargetError(
                    .notReady,
                    "the target is a replica of \(fields["master_host"] ?? "another server"): write to its primary")
            }
            var profile = TargetProfile(flavor: flavor, version: version, runID: fields["run_id"] ?? "")
            profile.hasJSON = try await knows("JSON.SET", on: connection)
            profile.hasBloom = try await knows("BF.ADD", on: connection)
            profile.hasFieldExpiry = try await knows("HPEXPIREAT", on: connection)
            profile.limits = try await limits(on: connection)
            return profile
        } catch {
            throw TargetError(error)
        }
    }

    private func limits(on connection: RequestConnection) async throws -> TargetLimits {
        let reply = try await connection.request(
            "CONFIG", "GET", "proto-max-bulk-len", "client-query-buffer-limit", timeout: settings.timeout)
        guard let words = reply.array else { return TargetLimits() }
        func value(_ name: String) -> Int? {
            guard let place = words.firstIndex(where: { $0.text == name }), place + 1 < words.count else { return nil }
            return words[place + 1].int.map { Int($0) }
        }
        return TargetLimits(
            argumentBytes: value("proto-max-bulk-len"), transactionBytes: value("client-query-buffer-limit"))
    }

    private func knows(_ command: String, on connection: RequestConnection) async throws -> Bool {
        let reply = try await connection.request("COMMAND", "INFO", command, timeout: settings.timeout)
        guard case .array(let entries?) = reply, let entry = entries.first else { return false }
        return !entry.isNull
    }
}
