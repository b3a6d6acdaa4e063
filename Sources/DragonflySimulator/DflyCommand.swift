/// Executes one `DFLY` request: opens flows and changes phases (Protocol 2).
struct DflyCommand {
    let core: MasterCore
    let request: Request
    let connection: Connection

    func execute() -> Reply {
        if core.options.isRedis { return ErrorText.unknown("DFLY") }
        switch request.keyword(0) {
        case "FLOW": return openFlow()
        case "SYNC": return request.arguments.count == 2 ? sync() : ErrorText.syntax
        case "STARTSTABLE": return request.arguments.count == 2 ? startStable() : ErrorText.syntax
        case "REPLICAOFFSET": return .array(core.journals.map { .integer($0.isActive ? Int64($0.next) : 0) })
        case let other:
            core.violations.append("DFLY \(other ?? "") on \(connection.label)")
            return ErrorText.syntax
        }
    }

    private enum Lookup {
        case found(Session)
        case refused(Reply)
    }

    private func session(named text: String?) -> Lookup {
        guard let text, text.hasPrefix("SYNC"), let number = Int(text.dropFirst(4)) else {
            return .refused(ErrorText.badSyncID)
        }
        return core.sessions.first { $0.number == number }.map { .found($0) } ?? .refused(ErrorText.syncIDNotFound)
    }

    // MARK: FLOW

    /// `DFLY FLOW <master id> <sync id> <flow id> [<lsn> | <last master id> <lsn-lsn-...>]`
    private func openFlow() -> Reply {
        guard (4...6).contains(request.arguments.count) else { return ErrorText.syntax }
        guard request.text(1) == core.replicationID else { return ErrorText.badMasterID }
        guard let shard = request.integer(3).flatMap({ Int(exactly: $0) }), core.journals.indices.contains(shard) else {
            return ErrorText.integer
        }
        let session: Session
        switch self.session(named: request.text(2)) {
        case .found(let found): session = found
        case .refused(let reply): return reply
        }
        guard session.state == .preparation else { return ErrorText.invalidState }
        var wanted: UInt64?
        if request.arguments.count == 5 {
            guard let lsn = request.text(4).flatMap({ UInt64($0) }) else { return ErrorText.integer }
            wanted = lsn
        }
        let flowFaults = core.takeFaults(.flow(shard))
        if let refusal = flowFaults.refusal { return .error(refusal) }
        if connection === session.main { core.violations.append("DFLY FLOW on \(connection.label)") }
        if session.flows[shard] != nil { core.violations.append("flow \(shard) of \(session.name) was opened twice") }

        let canContinue = wanted.map { core.journals[shard].canContinue(from: $0) } ?? false
        let start = canContinue && !flowFaults.refusesPartial ? wanted : nil
        for index in core.journals.indices { core.journals[index].isActive = true }
        let flow = Flow(shard: shard, connection: connection, start: start, token: token(of: shard))
        session.flows[shard] = flow
        Reply.array([.simple(start == nil ? "FULL" : "PARTIAL"), .simple(flow.token)]).queue(on: connection)
        connection.flow = flow
        connection.session = session
        connection.observation.role = .flow(session: session.number, shard: shard)
        connection.beginStream()
        connection.use(flowFaults)
        return .nothing
    }

    private func token(of shard: Int) -> String {
        if case .recording(let recording) = core.dataSet { return recording.flows[shard].token }
        return core.generator.hex(40)
    }

    // MARK: SYNC

    private func sync() -> Reply {
        let session: Session
        switch self.session(named: request.text(1)) {
        case .found(let found): session = found
        case .refused(let reply): return reply
        }
        guard session.state == .preparation, session.hasAllFlows else { return ErrorText.invalidState }
        if session.hasPartialFlow {
            let isFramed = session.isAllPartial && !core.options.version.startsPartialFlowsStable
            if !isFramed { core.violations.append("SYNC after PARTIAL in \(session.name)") }
            if core.options.version.refusesSyncAfterPartial { return ErrorText.invalidState }
        }
        if connection !== session.main { core.violations.append("SYNC on \(connection.label)") }
        session.state = .fullSync
        core.fullSyncs += 1
        let sources = core.snapshots(of: session)
        for case let flow? in session.flows {
            flow.snapshot = sources[flow.shard]
            flow.phase = .fullSync
        }
        return .ok
    }

    // MARK: STARTSTABLE

    private func startStable() -> Reply {
        let session: Session
        switch self.session(named: request.text(1)) {
        case .found(let found): session = found
        case .refused(let reply): return reply
        }
        if connection !== session.main { core.violations.append("STARTSTABLE on \(connection.label)") }
        switch session.state {
        case .preparation:
            guard session.hasAllFlows else { return ErrorText.invalidState }
            if session.isAllPartial {
                if !core.options.version.startsPartialFlowsStable { return ErrorText.invalidState }
                return core.continueFlows(session) ? .ok : ErrorText.invalidState
            }
            core.crash("STARTSTABLE without SYNC in \(session.name)")
            return .nothing
        case .fullSync where !session.isStartingStable: break
        default: return ErrorText.invalidState
        }
        for case let flow? in session.flows where !flow.hasWrittenEnd {
            core.violations.append("STARTSTABLE before FULLSYNC_END of \(flow.connection.label)")
        }
        session.isStartingStable = true
        for case let flow? in session.flows { flow.becomesStableAfterSnapshot = true }
        core.finishStartStable(session)
        return .nothing
    }
}

extension Reply {
    fileprivate func queue(on connection: Connection) { connection.queue(self) }
}
