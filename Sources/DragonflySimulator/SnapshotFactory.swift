/// Creates the source of one flow's full sync from the master's data.
struct SnapshotFactory {
    let options: MasterOptions
    let dataSet: DataSet
    let store: LiveStore?
    let shard: Int

    /// - Parameter missed: the records that a continued flow lacks: a master before v1.35 sends them in an RDB frame
    ///   (Protocol 2.6); `nil` for a snapshot.
    func source(faults: Faults, missed: [(lsn: UInt64, bytes: [UInt8])]?) -> any SnapshotSource {
        var header = SnapshotFrame.header(shard: shard, shardCount: options.shardCount, version: options.version)
        if faults.hasWrongShardID { Self.changeShardID(&header) }
        let end = faults.insertionBeforeEnd + SnapshotFrame.end
        if let missed {
            return PreparedSnapshot(pieces: [header] + missed.map { SnapshotFrame.blob($0.bytes) } + [end])
        }
        switch dataSet {
        case .recording(let recording): return Self.source(of: recording.flows[shard], faults: faults)
        case .empty: return PreparedSnapshot(pieces: [header, end])
        case .synthetic(let encoded): return encoded.source(shard: shard, header: header, end: end, chunking: options)
        case .live:
            guard let store else { return PreparedSnapshot(pieces: [header, end]) }
            return LiveSnapshot(store: store, shard: shard, header: header, end: end, options: options)
        }
    }

    private static func source(of flow: Recording.Flow, faults: Faults) -> PreparedSnapshot {
        var bytes = flow.beforeStable
        if faults.hasWrongShardID { changeShardID(&bytes) }
        if !faults.insertionBeforeEnd.isEmpty, bytes.suffix(SnapshotFrame.end.count).elementsEqual(SnapshotFrame.end) {
            bytes.insert(contentsOf: faults.insertionBeforeEnd, at: bytes.count - SnapshotFrame.end.count)
        }
        var tail = flow.tail
        if faults.hasWrongToken, let last = tail.popLast() { tail.append(last == 0x30 ? 0x31 : 0x30) }
        return PreparedSnapshot(pieces: [bytes], recordedTail: tail)
    }

    /// Changes the AUX field `shard-id`, whose value is an 8-bit number.
    private static func changeShardID(_ header: inout [UInt8]) {
        let name = Array("shard-id".utf8)
        let limit = min(header.count, 4096) - name.count - 1
        guard limit > 0, let start = (0..<limit).first(where: { header[$0..<($0 + name.count)].elementsEqual(name) })
        else { return }
        header[start + name.count + 1] += 1
    }
}
