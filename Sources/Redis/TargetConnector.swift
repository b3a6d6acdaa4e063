package import Link
package import Wire

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
                let name = "\(settings.clientName):\(role)"
                try await greet(connection, name: name, replacing: replacing)
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

    /// All that a new connection asks at first, at once: a target far away answers once.
    private func greet(_ connection: RequestConnection, name: String, replacing: Bool) async throws {
        let login = authentication(user: settings.user, password: settings.password)
        var commands = login.map { [$0] } ?? []
        commands.append(["CLIENT", "SETNAME", name])
        if settings.locator != nil { commands.append(["INFO", "replication"]) }
        // After the name: whoever takes the task over writes its record first and looks for names then. So this
        // connection is either found by it, or finds its record.
        if let owner = settings.owner { commands.append(["GET", owner.key]) }
        if replacing { commands += Self.listing }
        var replies = try await requests(commands, on: connection)[...]
        if let login, case .error(let text)? = replies.popFirst() { throw TargetError.reply(text, to: login[0]) }
        // Errors in this name are of no interest, but the reply says whether we may talk at all.
        if case .error(let text)? = replies.popFirst() {
            let refusal = TargetError.reply(text, to: "CLIENT SETNAME")
            let mayTalk = refusal.code == .unsuitable || text.hasPrefix("NOPERM")
            if !mayTalk { throw refusal }
        }
        if let locator = settings.locator, let reply = replies.popFirst() {
            try demandMaster(locator, reply, on: connection)
            await locator.follow(connection)
        }
        if let owner = settings.owner, let reply = replies.popFirst() {
            if case .error(let text) = reply { throw TargetError.reply(text, to: "GET", key: owner.key) }
            try owner.check(reply.text)
        }
        if replacing, let doomed = try ids(in: replies, { $0 == name }) { _ = try await end(doomed, on: connection) }
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
            let replies = try await requests(Self.listing, on: connection)
            guard let doomed = try ids(in: replies[...], { $0.hasPrefix("\(settings.clientName):") }) else {
                return false
            }
            return try await end(doomed, on: connection)
        } catch {
            throw TargetError(error)
        }
    }

    /// Whether the target has connections of this task's name besides `connection`; `nil` when it does not say.
    func others(on connection: RequestConnection) async throws(TargetError) -> Bool? {
        do {
            // Those that a process opens for one question, and closes, are perhaps still on the list.
            let brief = [TargetRights.role, ClusterConnector.topologyRole].map { "\(settings.clientName):\($0)" }
            return try ids(in: try await requests(Self.listing, on: connection)[...]) {
                $0.hasPrefix("\(settings.clientName):") && !brief.contains($0)
            }.map { !$0.isEmpty }
        } catch {
            throw TargetError(error)
        }
    }

    /// What `ids` reads the replies of.
    private static let listing = [["CLIENT", "ID"], ["CLIENT", "LIST"]]

    /// The ids of the other connections whose name is asked for; `nil` when the target does not say.
    ///
    /// - Parameter replies: to `listing`.
    private func ids(
        in replies: ArraySlice<RESPValue>, _ isWanted: (String) -> Bool
    ) throws(TargetError) -> [String]? {
        for case .error(let text) in replies where TargetError.isTransientReply(text) {
            // A target that is busy with a script answers nothing else: it is no answer to whether it is allowed.
            throw TargetError.reply(text, to: "CLIENT LIST")
        }
        guard let own = replies.first?.int, let list = replies.last?.text else { return nil }
        return list.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            func field(_ name: String) -> String? {
                fields.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) }
            }
            guard let name = field("name"), isWanted(name), let id = field("id"), id != String(own) else { return nil }
            return id
        }
    }

    /// - Parameter doomed: ids of connections.
    /// - Returns: `false` when the target does not allow it.
    private func end(_ doomed: [String], on connection: RequestConnection) async throws -> Bool {
        for reply in try await requests(doomed.map { ["CLIENT", "KILL", "ID", $0] }, on: connection) {
            if case .error(let text) = reply {
                if TargetError.isTransientReply(text) { throw TargetError.reply(text, to: "CLIENT KILL") }
                // It may have gone by itself meanwhile.
                if !text.contains("No such client") { return false }
            }
        }
        return true
    }

    /// A master that has come back does not know yet that it is a replica now, or a sentinel does not.
    ///
    /// - Parameter reply: to INFO.
    private func demandMaster(
        _ locator: SentinelLocator, _ reply: RESPValue, on connection: RequestConnection
    ) throws(TargetError) {
        let fields = ServerInfo(reply.text)
        guard fields["role"] == "slave" else { return }
        throw TargetError(
            .notReady,
            "the sentinels name \(connection.endpoint) as the master of '\(locator.settings.master)' (target.sentinel.master), and "
                + "it is a replica of \(fields["master_host"] ?? "?"):\(fields["master_port"] ?? "?"): a failover is not over"
        )
    }

    /// Sends all at once.
    private func requests(_ commands: [[String]], on connection: RequestConnection) async throws -> [RESPValue] {
        try await connection.requests(commands.map { $0.map { Array($0.utf8) } }, timeout: settings.timeout)
    }

    private func demand(_ arguments: [String], on connection: RequestConnection) async throws {
        let reply = try await connection.request(arguments.map { Array($0.utf8) }, timeout: settings.timeout)
        if case .error(let text) = reply { throw TargetError.reply(text, to: arguments[0]) }
    }

    /// Asks the target what it is, and refuses what we cannot replicate into.
    package func profile(on connection: RequestConnection) async throws(TargetError) -> TargetProfile {
        try await profile(on: connection, asking: nil).profile
    }

    /// As `profile(on:)`, with the answer to one more question.
    package func profile(
        on connection: RequestConnection, asking question: [String]?
    ) async throws(TargetError) -> (profile: TargetProfile, answer: RESPValue?) {
        do {
            let commands =
                [["INFO"]] + ["JSON.SET", "BF.ADD", "HPEXPIREAT"].map { ["COMMAND", "INFO", $0] }
                + [["CONFIG", "GET", "proto-max-bulk-len", "client-query-buffer-limit"]]
            let replies = try await requests(commands + (question.map { [$0] } ?? []), on: connection)
            let reply = replies[0]
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
            profile.hasJSON = Self.isKnown(replies[1])
            profile.hasBloom = Self.isKnown(replies[2])
            profile.hasFieldExpiry = Self.isKnown(replies[3])
            profile.limits = Self.limits(replies[4])
            return (profile, question == nil ? nil : replies[5])
        } catch {
            throw TargetError(error)
        }
    }

    /// - Parameter reply: to CONFIG GET.
    private static func limits(_ reply: RESPValue) -> TargetLimits {
        guard let words = reply.array else { return TargetLimits() }
        func value(_ name: String) -> Int? {
            guard let place = words.firstIndex(where: { $0.text == name }), place + 1 < words.count else { return nil }
            return words[place + 1].int.map { Int($0) }
        }
        return TargetLimits(
            argumentBytes: value("proto-max-bulk-len"), transactionBytes: value("client-query-buffer-limit"))
    }

    /// - Parameter reply: to COMMAND INFO.
    private static func isKnown(_ reply: RESPValue) -> Bool {
        guard case .array(let entries?) = reply, let entry = entries.first else { return false }
        return !entry.isNull
    }
}
