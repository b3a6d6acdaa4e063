/// `DFLY`: flows and the changes of phase (Protocol 2).
extension MasterCore {
    func dfly(_ request: Request, _ connection: Connection) -> Reply {
        if options.isRedis { return ErrorText.unknown("DFLY") }
        switch request.keyword(0) {
        case "FLOW": return openFlow(request, connection)
        case "SYNC": return request.arguments.count == 2 ? sync(request, connection) : ErrorText.syntax
        case "STARTSTABLE": return request.arguments.count == 2 ? startStable(request, connection) : ErrorText.syntax
        case "REPLICAOFFSET": return .array(journals.map { .integer($0.isActive ? Int64($0.next) : 0) })
        case let other:
            violations.append("DFLY \(other ?? "") on \(connection.label)")
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
        return sessions.first { $0.number == number }.map { .found($0) } ?? .refused(ErrorText.syncIDNotFound)
    }

    // MARK: FLOW

    /// `DFLY FLOW <master id> <sync id> <flow id> [<lsn> | <last master id> <lsn-lsn-...>]`
    private func openFlow(_ request: Request, _ connection: Connection) -> Reply {
        guard (4...6).contains(request.arguments.count) else { return ErrorText.syntax }
        guard request.text(1) == replicationID else { return ErrorText.badMasterID }
        guard let shard = request.integer(3).flatMap({ Int(exactly: $0) }), journals.indices.contains(shard) else {
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
        let flowFaults = takeFaults(.flow(shard))
        if let refusal = flowFaults.refusal { return .error(refusal) }
        if connection === session.main { violations.append("DFLY FLOW on \(connection.label)") }
        if session.flows[shard] != nil { violations.append("flow \(shard) of \(session.name) was opened twice") }

        let canContinue = wanted.map { journals[shard].canContinue(from: $0) } ?? false
        let start = canContinue && !flowFaults.refusesPartial ? wanted : nil
        for index in journals.indices { journals[index].isActive = true }
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
        if case .recording(let recording) = dataSet { return recording.flows[shard].token }
        return generator.hex(40)
    }

    // MARK: SYNC

    private func sync(_ request: Request, _ connection: Connection) -> Reply {
        let session: Session
        switch self.session(named: request.text(1)) {
        case .found(let found): session = found
        case .refused(let reply): return reply
        }
        guard session.state == .preparation, session.hasAllFlows else { return ErrorText.invalidState }
        if session.hasPartialFlow {
            let isFramed = session.isAllPartial && !options.version.startsPartialFlowsStable
            if !isFramed { violations.append("SYNC after PARTIAL in \(session.name)") }
            if options.version.refusesSyncAfterPartial { return ErrorText.invalidState }
        }
        if connection !== session.main { violations.append("SYNC on \(connection.label)") }
        session.state = .fullSync
        fullSyncs += 1
        let sources = snapshots(of: session)
        for case let flow? in session.flows {
            flow.snapshot = sources[flow.shard]
            flow.phase = .fullSync
        }
        return .ok
    }

    /// The source of each flow's full sync.
    private func snapshots(of session: Session) -> [any SnapshotSource] {
        session.flows.enumerated().map { shard, flow in
            let faults = flow?.connection.faults ?? Faults()
            var header = SnapshotFrame.header(shard: shard, shardCount: options.shardCount, version: options.version)
            if faults.hasWrongShardID { Self.changeShardID(&header) }
            if let flow, let start = flow.start {
                // A master before v1.35: the missed records in an RDB frame (Protocol 2.6).
                let blobs = journals[shard].records(from: start).map { SnapshotFrame.blob($0.bytes) }
                return PreparedSnapshot(pieces: [header] + blobs + [faults.insertionBeforeEnd + SnapshotFrame.end])
            }
            let end = faults.insertionBeforeEnd + SnapshotFrame.end
            switch dataSet {
            case .recording(let recording):
                return Self.snapshot(of: recording.flows[shard], faults: faults)
            case .empty: return PreparedSnapshot(pieces: [header, end])
            case .synthetic(let encoded):
                return encoded.source(shard: shard, header: header, end: end, chunking: options)
            case .live:
                guard let store else { return PreparedSnapshot(pieces: [header, end]) }
                return LiveSnapshot(store: store, shard: shard, header: header, end: end, options: options)
            }
        }
    }

    private static func snapshot(of flow: Recording.Flow, faults: Faults) -> PreparedSnapshot {
        var bytes = flow.beforeStable
        if faults.hasWrongShardID { changeShardID(&bytes) }
        if !faults.insertionBeforeEnd.isEmpty, bytes.suffix(SnapshotFrame.end.count).elementsEqual(SnapshotFrame.end) {
            bytes.insert(contentsOf: faults.insertionBeforeEnd, at: bytes.count - SnapshotFrame.end.count)
        }
        var tail = flow.tail
        if faults.hasWrongToken, let last = tail.popLast() { tail.append(last == 0x30 ? 0x31 : 0x30) }
        return PreparedSnapshot(pieces: [bytes], recordedTail: tail)
    }

    /// `shard-id` is followed by an 8-bit number.
    private static func changeShardID(_ header: inout [UInt8]) {
        let name = Array("shard-id".utf8)
        let limit = min(header.count, 4096) - name.count - 1
        guard limit > 0, let start = (0..<limit).first(where: { header[$0..<($0 + name.count)].elementsEqual(name) })
        else { return }
        header[start + name.count + 1] += 1
    }

    // MARK: STARTSTABLE

    private func startStable(_ request: Request, _ connection: Connection) -> Reply {
        let session: Session
        switch self.session(named: request.text(1)) {
        case .found(let found): session = found
        case .refused(let reply): return reply
        }
        if connection !== session.main { violations.append("STARTSTABLE on \(connection.label)") }
        switch session.state {
        case .preparation:
            guard session.hasAllFlows else { return ErrorText.invalidState }
            if session.isAllPartial {
                if !options.version.startsPartialFlowsStable { return ErrorText.invalidState }
                return continueFlows(session) ? .ok : ErrorText.invalidState
            }
            crash("STARTSTABLE without SYNC in \(session.name)")
            return .nothing
        case .fullSync where !session.isStartingStable: break
        default: return ErrorText.invalidState
        }
        for case let flow? in session.flows where !flow.hasWrittenEnd {
            violations.append("STARTSTABLE before FULLSYNC_END of \(flow.connection.label)")
        }
        session.isStartingStable = true
        for case let flow? in session.flows { flow.endsWhenSnapshotDoes = true }
        finishStartStable(session)
        return .nothing
    }

    /// Raw records from the LSN that each flow asked for. `false`: one of them is gone from the buffer.
    private func continueFlows(_ session: Session) -> Bool {
        for case let flow? in session.flows {
            guard let start = flow.start, journals[flow.shard].canContinue(from: start) else {
                cancel(session)
                return false
            }
        }
        session.state = .stable
        for case let flow? in session.flows {
            guard let start = flow.start else { continue }
            flow.phase = .stable
            flow.firstLSN = start
            for record in journals[flow.shard].records(from: start) { write(record.bytes, record.lsn, [], to: flow) }
        }
        return true
    }

    /// Queues the end of the full sync on each flow whose snapshot is over; answers STARTSTABLE when all is written.
    func finishStartStable(_ session: Session) {
        for case let flow? in session.flows where flow.endsWhenSnapshotDoes {
            guard let snapshot = flow.snapshot, snapshot.hasEnded else { continue }
            var token = flow.token
            if flow.connection.faults.hasWrongToken {
                token = String(token.dropLast()) + (token.hasSuffix("0") ? "1" : "0")
            }
            let offset = journals[flow.shard].next
            for piece in snapshot.tail(offset: offset, token: token) { flow.connection.queue(piece) }
            flow.tailOffset = flow.connection.streamBytesQueued
            flow.snapshot = nil
            flow.endsWhenSnapshotDoes = false
            flow.phase = .stable
            flow.firstLSN = offset
            sendRecordedStable(flow)
        }
        guard session.flows.allSatisfy({ $0?.hasWrittenTail ?? false }) else {
            return
        }
        session.isStartingStable = false
        session.state = .stable
        session.main.queue(.ok)
    }

    /// After a recording's token comes what was recorded after it.
    private func sendRecordedStable(_ flow: Flow) {
        guard case .recording(let recording) = dataSet else { return }
        let recorded = recording.flows[flow.shard]
        flow.connection.queue(recorded.stable)
        flow.firstLSN = recorded.offset ?? 0
    }

    func write(_ record: [UInt8], _ lsn: UInt64, _ keys: [DatabaseKey], to flow: Flow) {
        flow.write(record: record, lsn: lsn, keys: keys, now: now, lsnInterval: options.lsnRecordInterval)
    }
}

extension Reply {
    fileprivate func queue(on connection: Connection) { connection.queue(self) }
}
