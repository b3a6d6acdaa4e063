/// A synthetic data set that is encoded for each shard in advance, so that serving it costs only `send`.
package struct EncodedDataSet: Sendable {
    /// The flushed buffers of each shard; every buffer begins and ends at an opcode boundary.
    private let pieces: [[[UInt8]]]
    private let largeValues: [[LargeValue]]

    /// Encodes `dataSet` for masters with these options.
    package init(_ dataSet: SyntheticDataSet, options: MasterOptions) {
        let count = options.shardCount
        var buffers = Array(repeating: EntryBuffer(options: options), count: count)
        var pieces: [[[UInt8]]] = Array(repeating: [], count: count)
        for index in 0..<dataSet.keys {
            let entry = dataSet.entry(at: index)
            let shard = KeyHash.shard(of: entry.key, count: count)
            buffers[shard].append(
                database: entry.database, key: entry.key, expiresAt: entry.expiresAt, value: entry.value)
            if buffers[shard].isFull, let piece = buffers[shard].flush() { pieces[shard].append(piece) }
        }
        for shard in 0..<count {
            if let piece = buffers[shard].flush() { pieces[shard].append(piece) }
        }
        self.pieces = pieces
        largeValues = (0..<count).map { shard in
            dataSet.largeValues.filter { KeyHash.shard(of: $0.key, count: count) == shard }
        }
    }

    /// The bytes of all flows, without the large values.
    package var byteCount: Int { pieces.joined().reduce(0) { $0 + $1.count } }

    func source(shard: Int, header: [UInt8], end: [UInt8], chunking options: MasterOptions) -> any SnapshotSource {
        guard !largeValues[shard].isEmpty else {
            return PreparedSnapshot(pieces: [header] + pieces[shard] + [end])
        }
        return LargeSnapshot(
            pieces: [header] + pieces[shard], values: largeValues[shard], end: end, options: options)
    }
}

/// A full sync that generates its large values while it sends them.
///
/// With tagged chunks, two large values are open at a time, and prepared pieces are sent between their chunks. Without
/// them, one value follows the other, and nothing is sent in the middle of a value.
final class LargeSnapshot: SnapshotSource {
    private let pieces: [[UInt8]]
    private var index = 0
    private var waiting: [LargeValue]
    private var open: [LargeValueWriter] = []
    private let end: [UInt8]
    private let options: MasterOptions
    private var nextStreamID: UInt32 = 1 << 20
    private var records: [[UInt8]] = []
    private var turn = 0
    private(set) var hasEnded = false

    init(pieces: [[UInt8]], values: [LargeValue], end: [UInt8], options: MasterOptions) {
        self.pieces = pieces
        waiting = values
        self.end = end
        self.options = options
    }

    func next() -> [UInt8]? {
        if open.allSatisfy(\.isBetweenOpcodes), !records.isEmpty {
            defer { records = [] }
            return records.flatMap(SnapshotFrame.blob)
        }
        // The header comes before everything.
        if index == 0 { return piece() }
        openMore()
        turn += 1
        let isPieceDue = index < pieces.count && (turn % 3 == 0 || open.isEmpty) && open.allSatisfy(\.isBetweenOpcodes)
        if isPieceDue { return piece() }
        if !open.isEmpty {
            let chosen = open[0].isBetweenOpcodes ? turn % open.count : 0
            let bytes = open[chosen].next()
            if open[chosen].hasEnded { open.remove(at: chosen) }
            return bytes
        }
        if index < pieces.count { return piece() }
        if hasEnded { return nil }
        hasEnded = true
        return end
    }

    private func piece() -> [UInt8] {
        defer { index += 1 }
        return pieces[index]
    }

    private func openMore() {
        let limit = options.sendsTaggedChunks ? 2 : 1
        // A string is not split, so nothing else may be open beside it.
        while open.count < limit, let value = waiting.first {
            if !open.isEmpty, value.kind == .string || open.contains(where: { $0.value.kind == .string }) { return }
            waiting.removeFirst()
            let streamID = options.sendsTaggedChunks ? nextStreamID : nil
            nextStreamID += 1
            open.append(
                LargeValueWriter(
                    value, streamID: streamID, chunkBytes: options.chunkBytes, compression: options.compression))
        }
    }

    func write(record: [UInt8], keys: [DatabaseKey]) { records.append(record) }

    func tail(offset: UInt64, token: String) -> [[UInt8]] {
        defer { records = [] }
        return records.map(SnapshotFrame.blob) + [SnapshotFrame.offset(offset), SnapshotFrame.eof(token: token)]
    }
}
