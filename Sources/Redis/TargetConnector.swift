package import Link
package import Wire

/// How to reach the target.
package struct TargetSettings: Sendable {
    /// The address of the target, unless sentinels are asked.
    package var endpoint: Endpoint
    /// The sentinels to ask for the address; `nil` if there are none.
    package var sentinel: SentinelSettings?
    /// Asks the sentinels. The code that runs the task creates it.
    package var locator: SentinelLocator?
    package var user: String?
    package var password: String?
    /// Reads the password again, because passwords may change while a task runs; `nil` if the password does not change.
    package var readPassword: (@Sendable () -> String?)?
    /// The origin of the password, for messages; `nil` if it is not known.
    package var passwordOrigin: String?
    /// How connections are encrypted; `nil` if they are not.
    package var tls: TLSSettings?
    /// Shown by CLIENT LIST on the target.
    package var clientName: String
    package var timeout: Duration = .seconds(10)
    /// The owner of the task. A connection fails to open if the target names another one. `nil` if the owner is not checked.
    package var owner: OwnershipRecord?
    /// How to find the other nodes if the target is a cluster; `endpoint` is one of the seeds.
    package var cluster: ClusterAddresses?
    /// The last known addresses of the nodes. The code that runs the task creates it.
    package var clusterNodes: ClusterNodes?
    /// Whether the server must be a node of a cluster. Otherwise it must not be one.
    package var isClusterNode = false
    /// Whether it is a node that the configuration names.
    var isSeed = false

    /// The password for a login now.
    package var currentPassword: String? { readPassword?() ?? password }

    package init(endpoint: Endpoint, user: String? = nil, password: String? = nil, clientName: String) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.clientName = clientName
    }

    /// The beginning of an error that names only an address: what the address belongs to, and the key that configures it.
    var title: String {
        if isClusterNode { return isSeed ? "the target's node (\(addressKey))" : "the target's node" }
        return "the target (\(addressKey))"
    }

    /// The configuration's key for the address.
    var addressKey: String {
        if isClusterNode { return "target.addr or target.cluster.seeds" }
        return sentinel == nil ? "target.addr" : "target.sentinel"
    }

    /// The address of the target for messages; with sentinels, its last known address.
    package var place: String {
        guard let sentinel else { return endpoint.description }
        return locator?.current.map { "\($0) (\(sentinel.master))" } ?? sentinel.master
    }
}

/// The addresses of a cluster's nodes.
package struct ClusterAddresses: Equatable, Sendable {
    /// The nodes that are asked for all others, in turn.
    package var seeds: [Endpoint]
    /// Maps announced addresses to the addresses at which nodes can be reached.
    package var map: [Endpoint: Endpoint] = [:]

    package init(seeds: [Endpoint], map: [Endpoint: Endpoint] = [:]) { (self.seeds, self.map) = (seeds, map) }
}

/// Opens connections to the target and finds out what it is.
package struct TargetConnector: Sendable {
    package let settings: TargetSettings
    /// Whether the server must expire nothing by itself and show us expired keys. This is requested again on each
    /// connection, because a restart may have ended the mode.
    package var usesImportMode = false { didSet { cluster?.usesImportMode = usesImportMode } }
    /// The number of databases that the session expects; `nil` if it has not been determined yet.
    ///
    /// It is checked on each new connection, because a restarted server, or another one in its place, may have fewer
    /// databases: a transaction whose SELECT fails is executed nevertheless, in the database that was selected before.
    package var databaseCount: UInt32? { didSet { cluster?.databaseCount = databaseCount } }
    /// Reaches all nodes if the target is a cluster. Do not send requests through this connector itself in that case.
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
    /// - Parameter replacing: whether there was a connection of this role before whose fate is unknown. It is ended first
    ///   (see `evictPredecessors`).
    /// - Throws: `TargetError`.
    package func connect(role: String, replacing: Bool = false) async throws(TargetError) -> RequestConnection {
        try await connect(role: role, replacing: replacing, asking: []).connection
    }

    /// A connection, and the answers to its first questions.
    struct Opened {
        var connection: RequestConnection
        /// The answer, or an error reply, to each question.
        var answers: [RESPValue]
        /// How long the target took to answer.
        var roundTrip: Duration
    }

    /// Connects like `connect(role:replacing:)` and asks some questions together with the greeting, so that a distant target
    /// needs only one round trip.
    ///
    /// - Parameter questions: questions that change nothing, because it is not known yet whether the connection may be used.
    func connect(
        role: String, replacing: Bool, asking questions: [[[UInt8]]]
    ) async throws(TargetError) -> Opened {
        do {
            let endpoint = try await settings.locator?.master() ?? settings.endpoint
            let connection = try await RequestConnection.connect(
                to: endpoint, tls: settings.tls, label: "df2redis.target.\(role)", timeout: settings.timeout)
            do {
                let name = "\(settings.clientName):\(role)"
                let start = ContinuousClock.now
                let needs =
                    (lastDatabase.map { [$0, ["SELECT", "0"]] } ?? []) + (usesImportMode ? [Self.importSource] : [])
                let answers = try await greet(
                    connection, name: name, replacing: replacing,
                    asking: questions + needs.map { $0.map { Array($0.utf8) } })
                let roundTrip = start.duration(to: .now)
                if lastDatabase != nil { try requireDatabases(answers[questions.count], at: connection.endpoint) }
                // The server refuses this while it is not in import mode.
                if usesImportMode, answers.last?.isOK != true {
                    try await executeAll(
                        [["CONFIG", "SET", "import-mode", "yes"], Self.importSource], on: connection)
                }
                return Opened(
                    connection: connection, answers: Array(answers.prefix(questions.count)), roundTrip: roundTrip)
            } catch {
                await connection.close()
                throw error
            }
        } catch {
            throw TargetError(error, at: settings.title)
        }
    }

    private static let importSource = ["CLIENT", "IMPORT-SOURCE", "ON"]

    /// Selects the last database that the session expects; `nil` if it expects only the first one, which every server has.
    private var lastDatabase: [String]? { databaseCount.flatMap { $0 > 1 ? ["SELECT", "\($0 - 1)"] : nil } }

    /// - Parameter reply: the reply to `lastDatabase`.
    private func requireDatabases(_ reply: RESPValue, at endpoint: Endpoint) throws(TargetError) {
        guard case .error(let text) = reply, let databaseCount else { return }
        let refusal = TargetError.reply(text, to: "SELECT")
        guard refusal.code == .unsuitable else { throw refusal }
        throw TargetError(
            .changed,
            "the target \(endpoint) has not the \(databaseCount) databases that the session began with: \(text)")
    }

    /// Sends all first requests of a new connection at once.
    ///
    /// - Returns: the answers to `questions`.
    private func greet(
        _ connection: RequestConnection, name: String, replacing: Bool, asking questions: [[[UInt8]]]
    ) async throws -> [RESPValue] {
        let login = authentication(user: settings.user, password: settings.currentPassword)
        var commands = login.map { [$0] } ?? []
        commands.append(["CLIENT", "SETNAME", name])
        if settings.locator != nil { commands.append(["INFO", "replication"]) }
        // The owner is read after the name is set. A process that takes the task over first writes its record and then looks
        // for names. So either that process finds this connection, or this connection finds its record.
        if let owner = settings.owner { commands.append(["GET", owner.key]) }
        if replacing { commands += Self.listing }
        let all = commands.map { $0.map { Array($0.utf8) } } + questions
        var replies = try await connection.requests(all, timeout: settings.timeout)[...]
        if let login, case .error(let text)? = replies.popFirst() {
            throw TargetError.reply(text, to: login[0]).ofLogin(at: connection.endpoint, settings)
        }
        // The name itself may be refused, but the reply shows whether we may talk to the server at all.
        if case .error(let text)? = replies.popFirst() {
            let refusal = TargetError.reply(text, to: "CLIENT SETNAME")
            let mayTalk = refusal.code == .unsuitable || text.hasPrefix("NOPERM")
            if !mayTalk { throw refusal }
        }
        if let locator = settings.locator, let reply = replies.popFirst() {
            try requireMaster(locator, reply, on: connection)
            await locator.follow(connection)
        }
        if let owner = settings.owner, let reply = replies.popFirst() {
            if case .error(let text) = reply { throw TargetError.reply(text, to: "GET", key: owner.key) }
            try owner.check(reply.text)
        }
        let answers = Array(replies.suffix(questions.count))
        guard replacing, let doomed = try ids(in: replies.prefix(Self.listing.count), { $0 == name }), !doomed.isEmpty
        else { return answers }
        _ = try await end(doomed, on: connection)
        // Commands of the ended connections may have changed the answers.
        return try await connection.requests(questions, timeout: settings.timeout)
    }

    /// Ends the other connections of this task, which a killed process or a broken network may have left.
    ///
    /// Commands of such a connection may still be in the target's socket buffer. A server that was stopped reads them when
    /// it resumes, and their transaction would then take effect after the checkpoint has been read. This cannot happen after
    /// the target has closed the connection.
    ///
    /// - Returns: `false` if the target does not allow it.
    package func evictPredecessors(on connection: RequestConnection) async throws(TargetError) -> Bool {
        do {
            let replies = try await requests(Self.listing, on: connection)
            guard let doomed = try predecessors(in: replies[...]) else { return false }
            return try await end(doomed, on: connection)
        } catch {
            throw TargetError(error)
        }
    }

    /// Whether the target has other connections with this task's name besides `connection`; `nil` if the target does not
    /// say.
    func others(on connection: RequestConnection) async throws(TargetError) -> Bool? {
        do {
            // Connections that a process opens for a single question, and closes again, may still be on the list.
            let brief = [TargetRights.role, ClusterConnector.topologyRole].map { "\(settings.clientName):\($0)" }
            return try ids(in: try await requests(Self.listing, on: connection)[...]) {
                $0.hasPrefix("\(settings.clientName):") && !brief.contains($0)
            }.map { !$0.isEmpty }
        } catch {
            throw TargetError(error)
        }
    }

    /// The requests whose replies `ids` reads.
    static let listing = [["CLIENT", "ID"], ["CLIENT", "LIST"]]

    /// The IDs of the task's other connections; `nil` if the target does not say.
    ///
    /// - Parameter replies: the replies to `listing`.
    func predecessors(in replies: ArraySlice<RESPValue>) throws(TargetError) -> [String]? {
        try ids(in: replies) { $0.hasPrefix("\(settings.clientName):") }
    }

    /// The IDs of the other connections whose names `isWanted` accepts; `nil` if the target does not say.
    ///
    /// - Parameter replies: the replies to `listing`.
    private func ids(
        in replies: ArraySlice<RESPValue>, _ isWanted: (String) -> Bool
    ) throws(TargetError) -> [String]? {
        for case .error(let text) in replies where TargetError.isTransientReply(text) {
            // A target that is busy with a script refuses everything, which does not show whether the command is allowed.
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

    /// - Parameter doomed: the IDs of the connections to end.
    /// - Returns: `false` if the target does not allow it.
    func end(_ doomed: [String], on connection: RequestConnection) async throws -> Bool {
        for reply in try await requests(doomed.map { ["CLIENT", "KILL", "ID", $0] }, on: connection) {
            if case .error(let text) = reply {
                if TargetError.isTransientReply(text) { throw TargetError.reply(text, to: "CLIENT KILL") }
                // The connection may have ended by itself meanwhile.
                if !text.contains("No such client") { return false }
            }
        }
        return true
    }

    /// Checks that the server is a master. After a failover, the old master may not yet know that it is a replica now, or a
    /// sentinel may not know the new master.
    ///
    /// - Parameter reply: the reply to INFO.
    private func requireMaster(
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

    /// Sends all commands at once.
    private func requests(_ commands: [[String]], on connection: RequestConnection) async throws -> [RESPValue] {
        try await connection.requests(commands.map { $0.map { Array($0.utf8) } }, timeout: settings.timeout)
    }

    private func executeAll(_ commands: [[String]], on connection: RequestConnection) async throws {
        for (command, reply) in zip(commands, try await requests(commands, on: connection)) {
            if case .error(let text) = reply { throw TargetError.reply(text, to: command[0]) }
        }
    }

    /// Asks the target what it is, and throws if it cannot be a target.
    package func profile(on connection: RequestConnection) async throws(TargetError) -> TargetProfile {
        do {
            let answers = try await requests(ProfileQuestions.all, on: connection)
            return try ProfileQuestions(settings).findings(in: answers[...]).profile
        } catch {
            throw TargetError(error)
        }
    }

    /// A connection for a flow's data.
    package struct FlowConnection {
        package var connection: RequestConnection
        package var profile: TargetProfile
        /// `nil` if no question was asked.
        package var answer: RESPValue?
        /// How long the target took to answer.
        package var roundTrip: Duration
    }

    /// Connects for a flow, and asks in one round trip what the target is and one more question.
    ///
    /// Another connection of the role, whose fate is unknown, is ended first.
    ///
    /// - Parameter question: a question that changes nothing.
    package func connect(flow role: String, asking question: [String]?) async throws(TargetError) -> FlowConnection {
        let questions = ProfileQuestions.all + (question.map { [$0] } ?? [])
        let opened = try await connect(
            role: role, replacing: true, asking: questions.map { $0.map { Array($0.utf8) } })
        do throws(TargetError) {
            let profile = try ProfileQuestions(settings).findings(in: opened.answers[...]).profile
            return FlowConnection(
                connection: opened.connection, profile: profile, answer: question == nil ? nil : opened.answers.last,
                roundTrip: opened.roundTrip)
        } catch {
            await opened.connection.close()
            throw error
        }
    }
}
