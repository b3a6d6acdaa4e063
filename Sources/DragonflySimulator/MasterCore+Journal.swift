/// The journal: the records that commands and tests send to the flows.
extension MasterCore {
    /// Sets up the journals and the store for the data set.
    func loadDataSet() {
        switch dataSet {
        case .empty, .synthetic: break
        case .recording(let recording):
            precondition(
                recording.flows.count == options.shardCount, "a recording has as many flows as the master shards")
            for (shard, flow) in recording.flows.enumerated() {
                journals[shard].isActive = true
                journals[shard].begin(at: flow.offset ?? 1)
                for record in flow.records { _ = journals[shard].append(record) }
            }
        case .live(let synthetic):
            let store = LiveStore(shardCount: options.shardCount)
            if let synthetic { store.fill(synthetic) }
            self.store = store
        }
    }

    func nextTransactionID() -> UInt64 {
        defer { nextTransaction += 1 }
        return nextTransaction
    }

    /// Journals a record in a shard and sends it to every flow of that shard. Without an active journal nothing is kept.
    func journal(_ command: JournalEntry, shard: Int, keys: [DatabaseKey] = []) {
        guard journals[shard].isActive, !isJournalSilent else { return }
        let bytes = command.encoded
        let lsn = journals[shard].append(bytes)
        if withholdsRecords { return }
        for session in sessions {
            if let flow = session.flows[shard] { write(bytes, lsn, keys, to: flow) }
        }
    }

    /// Sends bytes as they are to every flow of a shard.
    func send(raw bytes: [UInt8], shard: Int) {
        for session in sessions { session.flows[shard]?.connection.queue(bytes) }
    }
}
