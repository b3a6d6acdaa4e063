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
    /// Reads the password again, since passwords are changed while a task runs; `nil`: it does not change.
    package var readPassword: (@Sendable () -> String?)?
    /// Where the password has come from, for people; `nil`: not known.
    package var passwordOrigin: String?
    /// How its connections are encrypted; `nil`: not at all.
    package var tls: TLSSettings?
    /// Shown by CLIENT LIST on the target.
    package var clientName: String
    package var timeout: Duration = .seconds(10)
    /// Who runs the task; a connection is not opened while the target names somebody else. `nil`: nobody asks.
    package var owner: OwnershipRecord?
    /// How the other nodes are found, where the target is a cluster; `endpoint` is one of the seeds.
    package var cluster: ClusterAddresses?
    /// Where they were last; made by whoever runs the task.
    package var clusterNodes: ClusterNodes?
    /// The server is to be a node of a cluster; else it is to be none.
    package var isClusterNode = false
    /// It is a node that the configuration names.
    var isSeed = false

    /// What a connection logs in with now.
    package var currentPassword: String? { readPassword?() ?? password }

    package init(endpoint: Endpoint, user: String? = nil, password: String? = nil, clientName: String) {
        self.endpoint = endpoint
        self.user = user
        self.password = password
        self.clientName = clientName
    }

    /// What begins an error that names an address alone: whose it is, and the key that says where.
    var title: String {
        if isClusterNode { return isSeed ? "the target's node (target.addr)" : "the target's node" }
        return sentinel == nil ? "the target (target.addr)" : "the target (target.sentinel)"
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
    /// How many databases the session counts on; `nil`: nobody has asked yet. Looked at on each new connection, since a server
    /// that was restarted, or another one in its place, may have fewer: a transaction whose SELECT fails is executed all the
    /// same, in the database before.
    package var databaseCount: UInt32? { didSet { cluster?.databaseCount = databaseCount } }
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
        try await connect(role: role, replacing: replacing, asking: []).connection
    }

    /// A connection, and what it was asked at first.
    struct Opened {
        var connection: RequestConnection
        /// An answer, or an error reply, to each question.
        var answers: [RESPValue]
        /// How long the target took to answer.
        var roundTrip: Duration
    }

    /// As `connect(role:replacing:)`, with the answers to some questions, which go out with the greeting: a target far away
    /// answers once.
    ///
    /// - Parameter questions: change nothing: it is not known yet whether the connection may be used.
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
                if lastDatabase != nil { try demandDatabases(answers[questions.count], at: connection.endpoint) }
                // Refused while the server is not in import mode.
                if usesImportMode, answers.last?.isOK != true {
                    try await demandAll(
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

    /// Selects the last database that the session counts on; every server has the first.
    private var lastDatabase: [String]? { databaseCount.flatMap { $0 > 1 ? ["SELECT", "\($0 - 1)"] : nil } }

    /// - Parameter reply: to `lastDatabase`.
    private func demandDatabases(_ reply: RESPValue, at endpoint: Endpoint) throws(TargetError) {
        guard case .error(let text) = reply, let databaseCount else { return }
        let refusal = TargetError.reply(text, to: "SELECT")
        guard refusal.code == .unsuitable else { throw refusal }
        throw TargetError(
            .changed,
            "the target \(endpoint) has not the \(databaseCount) databases that the session began with: \(text)")
    }

    /// All that a new connection asks at first, at once.
    ///
    /// - Returns: the answers to `questions`.
    private func greet(
        _ connection: RequestConnection, name: String, replacing: Bool, asking questions: [[[UInt8]]]
    ) async throws -> [RESPValue] {
        let login = authentication(user: settings.user, password: settings.currentPassword)
        var commands = login.map { [$0] } ?? []
        commands.append(["CLIENT", "SETNAME", name])
        if settings.locator != nil { commands.append(["INFO", "replication"]) }
        // After the name: whoever takes the task over writes its record first and looks for names then. So this
        // connection is either found by it, or finds its record.
        if let owner = settings.owner { commands.append(["GET", owner.key]) }
        if replacing { commands += Self.listing }
        let all = commands.map { $0.map { Array($0.utf8) } } + questions
        var replies = try await connection.requests(all, timeout: settings.timeout)[...]
        if let login, case .error(let text)? = replies.popFirst() {
            throw TargetError.reply(text, to: login[0]).ofLogin(at: connection.endpoint, settings)
        }
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
        let answers = Array(replies.suffix(questions.count))
        guard replacing, let doomed = try ids(in: replies.prefix(Self.listing.count), { $0 == name }), !doomed.isEmpty
        else { return answers }
        _ = try await end(doomed, on: connection)
        // What the other connection has sent may have changed the answers.
        return try await connection.requests(questions, timeout: settings.timeout)
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
            guard let doomed = try predecessors(in: replies[...]) else { return false }
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
    static let listing = [["CLIENT", "ID"], ["CLIENT", "LIST"]]

    /// The ids of the task's other connections; `nil` when the target does not say.
    ///
    /// - Parameter replies: to `listing`.
    func predecessors(in replies: ArraySlice<RESPValue>) throws(TargetError) -> [String]? {
        try ids(in: replies) { $0.hasPrefix("\(settings.clientName):") }
    }

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
    func end(_ doomed: [String], on connection: RequestConnection) async throws -> Bool {
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

    private func demandAll(_ commands: [[String]], on connection: RequestConnection) async throws {
        for (command, reply) in zip(commands, try await requests(commands, on: connection)) {
            if case .error(let text) = reply { throw TargetError.reply(text, to: command[0]) }
        }
    }

    /// Asks the target what it is, and refuses what we cannot replicate into.
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
        /// `nil`: nothing was asked.
        package var answer: RESPValue?
        /// How long the target took to answer.
        package var roundTrip: Duration
    }

    /// Connects for a flow, and asks the target what it is, and one thing more, in one round trip.
    ///
    /// Another connection of the role, of unknown fate, is ended first.
    ///
    /// - Parameter question: changes nothing.
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
