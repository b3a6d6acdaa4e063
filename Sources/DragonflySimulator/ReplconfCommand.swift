/// Executes one `REPLCONF` of a main connection or of a flow (Protocol 1, 4.5).
struct ReplconfCommand {
    let core: MasterCore
    let request: Request
    let connection: Connection

    func execute() -> Reply {
        let arguments = request.arguments
        guard !arguments.isEmpty, arguments.count % 2 == 0 else { return ErrorText.syntax }
        if core.options.isRedis { return .ok }
        for index in stride(from: 0, to: arguments.count, by: 2) {
            switch request.keyword(index) {
            case "CAPA":
                // Only a single pair opens a session; the value is case-sensitive.
                if arguments.count == 2, request.text(1) == "dragonfly" { return openSession() }
            case "LISTENING-PORT":
                guard let port = request.integer(index + 1), (0...65535).contains(port) else {
                    return ErrorText.integer
                }
                connection.listeningPort = port
                if connection.announcedAddress.isEmpty { connection.announcedAddress = "127.0.0.1" }
            case "IP-ADDRESS": connection.announcedAddress = request.text(index + 1) ?? ""
            case "CLIENT-ID": connection.session?.clientID = request.text(index + 1)
            case "CLIENT-VERSION":
                guard let version = request.integer(index + 1) else { return ErrorText.integer }
                guard let session = connection.session else {
                    core.crash("CLIENT-VERSION without a session on \(connection.label)")
                    return .nothing
                }
                session.clientVersion = version
            case "ACK":
                core.violations.append("ACK on \(connection.label), which is no flow")
                return .nothing
            default: return ErrorText.syntax
            }
        }
        return .ok
    }

    private func openSession() -> Reply {
        if core.isReplica { return ErrorText.replicaOfReplica }
        connection.capaCount += 1
        if connection.capaCount > 1 { core.violations.append("second capa dragonfly on \(connection.label)") }
        core.sessionsStarted += 1
        let session = Session(number: core.sessionsStarted, main: connection, shardCount: core.options.shardCount)
        core.sessions.append(session)
        connection.session = session
        connection.observation.role = .main(session: session.number)
        var elements: [Reply] = [
            .simple(core.replicationID), .simple(session.name), .integer(Int64(core.options.shardCount)),
            .integer(core.options.protocolNumber ?? core.options.version.protocolNumber),
        ]
        if core.options.version.sendsLineage { elements.append(.simple(core.lineageID)) }
        return .array(elements)
    }

    /// Executes `REPLCONF ACK`, the only command that a flow's connection may carry, once it is stable; `nil` for every
    /// other command.
    func execute(on flow: Flow) -> Reply? {
        guard request.name == "REPLCONF", request.keyword(0) == "ACK", request.arguments.count == 2 else { return nil }
        // A server that has become a replica refuses every REPLCONF, on a flow too.
        if core.isReplica { return ErrorText.replicaOfReplica }
        guard let lsn = request.text(1).flatMap({ UInt64($0) }) else { return .nothing }
        connection.observation.acknowledgements.append(Acknowledgement(lsn: lsn, time: core.now))
        // The session has ended; the ACK was in flight when the master hung up.
        guard connection.session != nil else { return .nothing }
        if flow.phase != .stable {
            core.violations.append("ACK \(lsn) before \(connection.label) is stable")
        } else if lsn > core.journals[flow.shard].next {
            core.violations.append("ACK \(lsn) above the LSN \(core.journals[flow.shard].next) on \(connection.label)")
        } else if lsn < flow.lastAcknowledged ?? flow.firstLSN {
            core.violations.append("ACK \(lsn) below \(flow.lastAcknowledged ?? flow.firstLSN) on \(connection.label)")
        }
        flow.lastAcknowledged = lsn
        return .nothing
    }
}
