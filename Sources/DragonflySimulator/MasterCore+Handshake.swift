import Base

/// The commands of Protocol 1 and 7: greeting, AUTH, REPLCONF, INFO, ROLE.
extension MasterCore {
    /// Executes a request and answers it; `.nothing` where there is no reply, or a later one.
    func execute(_ request: Request, from connection: Connection) -> Reply {
        if let flow = connection.flow, let reply = executeOnFlow(request, flow) { return reply }
        if connection.observation.takesCommands { connection.observation.note(command: request.line) }
        if connection.flow != nil {
            let phase = connection.flow?.phase == .stable ? "stable" : "silent"
            violations.append("command on the \(phase) \(connection.label): \(request.name)")
        }
        if request.name == "AUTH" { return authenticate(request, connection) }
        if request.name == "QUIT" {
            connection.closesWhenDrained = true
            return .ok
        }
        guard connection.isAuthenticated else { return ErrorText.noAuth }
        if let refused = refuse(request) { return refused }
        if isLoading, !["INFO", "REPLCONF", "ROLE"].contains(request.name) { return ErrorText.loading }
        switch request.name {
        case "PING": return request.arguments.first.map { .bulk($0) } ?? .simple("PONG")
        case "TIME":
            let time = WallClock.milliseconds() + options.clockSkew
            return .array([.integer(time / 1000), .integer(time % 1000 * 1000)])
        case "REPLCONF": return replconf(request, connection)
        case "DFLY": return DflyCommand(core: self, request: request, connection: connection).execute()
        case "INFO": return .text(info(request.keyword(0)))
        case "ROLE": return role()
        default: return executeCommand(request, connection)
        }
    }

    /// `nil` when nothing was asked to be refused.
    private func refuse(_ request: Request) -> Reply? {
        if refusals.isEmpty { return nil }
        let narrow = request.keyword(0).map { "\(request.name) \($0)" }
        guard
            let index = refusals.firstIndex(where: {
                $0.times > 0 && ($0.command == request.name || $0.command == narrow)
            })
        else { return nil }
        refusals[index].times -= 1
        return refusals[index].reply.map { .error($0) } ?? .nothing
    }

    private func authenticate(_ request: Request, _ connection: Connection) -> Reply {
        let words = request.arguments.map { String(decoding: $0, as: UTF8.self) }
        guard (1...2).contains(words.count) else { return ErrorText.arity("auth") }
        let user = words.count == 2 ? words[0] : "default"
        let isRight = options.password.map { user == options.user && words.last == $0 } ?? (user == "default")
        guard isRight else { return ErrorText.wrongPassword }
        connection.isAuthenticated = true
        return .ok
    }

    // MARK: REPLCONF

    private func replconf(_ request: Request, _ connection: Connection) -> Reply {
        let arguments = request.arguments
        guard !arguments.isEmpty, arguments.count % 2 == 0 else { return ErrorText.syntax }
        if options.isRedis { return .ok }
        for index in stride(from: 0, to: arguments.count, by: 2) {
            switch request.keyword(index) {
            case "CAPA":
                // One pair alone makes a session; the value is compared as it is.
                if arguments.count == 2, request.text(1) == "dragonfly" { return openSession(connection) }
            case "LISTENING-PORT":
                guard let port = request.integer(index + 1), (0...65535).contains(port) else {
                    return ErrorText.integer
                }
                connection.listeningPort = port
                if connection.shownAddress.isEmpty { connection.shownAddress = "127.0.0.1" }
            case "IP-ADDRESS": connection.shownAddress = request.text(index + 1) ?? ""
            case "CLIENT-ID": connection.session?.clientID = request.text(index + 1)
            case "CLIENT-VERSION":
                guard let version = request.integer(index + 1) else { return ErrorText.integer }
                guard let session = connection.session else {
                    crash("CLIENT-VERSION without a session on \(connection.label)")
                    return .nothing
                }
                session.clientVersion = version
            case "ACK":
                violations.append("ACK on \(connection.label), which is no flow")
                return .nothing
            default: return ErrorText.syntax
            }
        }
        return .ok
    }

    private func openSession(_ connection: Connection) -> Reply {
        if isReplica { return ErrorText.replicaOfReplica }
        connection.capaCount += 1
        if connection.capaCount > 1 { violations.append("second capa dragonfly on \(connection.label)") }
        sessionsStarted += 1
        let session = Session(number: sessionsStarted, main: connection, shardCount: options.shardCount)
        sessions.append(session)
        connection.session = session
        connection.observation.role = .main(session: session.number)
        var elements: [Reply] = [
            .simple(replicationID), .simple(session.name), .integer(Int64(options.shardCount)),
            .integer(options.protocolNumber ?? options.version.protocolNumber),
        ]
        if options.version.sendsLineage { elements.append(.simple(lineageID)) }
        return .array(elements)
    }

    /// What a flow's connection may carry: `REPLCONF ACK` once it is stable. `nil`: an ordinary command.
    private func executeOnFlow(_ request: Request, _ flow: Flow) -> Reply? {
        guard request.name == "REPLCONF", request.keyword(0) == "ACK", request.arguments.count == 2 else { return nil }
        let connection = flow.connection
        // A server that has become a replica refuses every REPLCONF, on a flow too.
        if isReplica { return ErrorText.replicaOfReplica }
        guard let lsn = request.text(1).flatMap({ UInt64($0) }) else { return .nothing }
        connection.observation.acknowledgements.append(Acknowledgement(lsn: lsn, time: now))
        // After the session's end, on its way while the master hung up.
        guard connection.session != nil else { return .nothing }
        if flow.phase != .stable {
            violations.append("ACK \(lsn) before \(connection.label) is stable")
        } else if lsn > journals[flow.shard].next {
            violations.append("ACK \(lsn) above the LSN \(journals[flow.shard].next) on \(connection.label)")
        } else if lsn < flow.lastAcknowledged ?? flow.firstLSN {
            violations.append("ACK \(lsn) below \(flow.lastAcknowledged ?? flow.firstLSN) on \(connection.label)")
        }
        flow.lastAcknowledged = lsn
        return .nothing
    }

    // MARK: Views

    private func lag(of session: Session) -> UInt64 {
        guard session.state == .stable else { return 0 }
        return session.flows.reduce(0) { most, flow in
            guard let flow else { return most }
            return max(most, journals[flow.shard].next &- (flow.lastAcknowledged ?? 0))
        }
    }

    private func info(_ section: String?) -> String {
        var lines: [String] = []
        let isEverything = section == nil || section == "ALL" || section == "EVERYTHING" || section == "DEFAULT"
        if isEverything || section == "SERVER" {
            lines += ["# Server", "redis_version:7.4.0"]
            if !options.isRedis { lines.append("dragonfly_version:\(options.version)") }
            lines += ["redis_mode:standalone", "arch_bits:64", "thread_count:\(options.shardCount)", ""]
        }
        if isEverything || section == "PERSISTENCE" {
            lines += ["# Persistence", "loading:\(isLoading ? 1 : 0)", ""]
        }
        if section == "ALL" || section == "EVERYTHING" || section == "COMMANDSTATS" {
            lines.append("# Commandstats")
            for (name, count) in calls.sorted(by: { $0.key < $1.key }) {
                lines.append("cmdstat_\(name):calls=\(count),usec=\(count),usec_per_call=1")
            }
            lines.append("")
        }
        if isEverything || section == "REPLICATION" {
            let role = isReplica ? "slave" : "master"
            lines += ["# Replication", "role:\(role)", "connected_slaves:\(sessions.count)"]
            for (index, session) in sessions.enumerated() {
                lines.append(
                    "slave\(index):ip=\(session.shownAddress),port=\(session.listeningPort),"
                        + "state=\(session.state.rawValue),lag=\(lag(of: session))")
            }
            lines += ["master_replid:\(replicationID)", ""]
        }
        if isEverything || section == "KEYSPACE", let store {
            lines.append("# Keyspace")
            for (database, keys) in store.keyCounts { lines.append("db\(database):keys=\(keys),expires=0,avg_ttl=-1") }
            lines.append("")
        }
        return lines.joined(separator: "\r\n")
    }

    private func role() -> Reply {
        let replicas = sessions.map { session in
            Reply.array([
                .text(session.shownAddress), .text(String(session.listeningPort)), .text(session.state.rawValue),
            ])
        }
        return .array([.text("master"), .array(replicas)])
    }
}
