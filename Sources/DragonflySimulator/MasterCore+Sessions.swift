/// The phase changes of sessions (Protocol 2).
extension MasterCore {
    /// The source of each flow's full sync.
    func snapshots(of session: Session) -> [any SnapshotSource] {
        session.flows.enumerated().map { shard, flow in
            SnapshotFactory(options: options, dataSet: dataSet, store: store, shard: shard)
                .source(faults: flow?.connection.faults ?? Faults(), missed: flow?.start.map(journals[shard].records))
        }
    }

    /// Makes the flows stable and sends the records from the LSN that each one requested; `false` if a journal no
    /// longer has them, which cancels the session.
    func continueFlows(_ session: Session) -> Bool {
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

    /// Queues the end of the full sync on each flow whose snapshot has ended; answers STARTSTABLE after all flows have
    /// written it.
    func finishStartStable(_ session: Session) {
        for case let flow? in session.flows where flow.becomesStableAfterSnapshot {
            guard let snapshot = flow.snapshot, snapshot.hasEnded else { continue }
            var token = flow.token
            if flow.connection.faults.hasWrongToken {
                token = String(token.dropLast()) + (token.hasSuffix("0") ? "1" : "0")
            }
            let offset = journals[flow.shard].next
            for piece in snapshot.tail(offset: offset, token: token) { flow.connection.queue(piece) }
            flow.tailOffset = flow.connection.streamBytesQueued
            flow.snapshot = nil
            flow.becomesStableAfterSnapshot = false
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

    /// Sends what was recorded after the EOF token.
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
