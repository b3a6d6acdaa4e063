import Base

/// A key with its database.
struct DatabaseKey: Hashable {
    let database: Int
    let key: [UInt8]
}

/// The bytes of one flow from `DFLY SYNC` to FULLSYNC_END, together with the journal records of that time.
///
/// Owned by the flow that serves it. The flow asks for pieces as the socket takes them.
protocol SnapshotSource: AnyObject {
    /// `next()` has returned the piece with FULLSYNC_END.
    var hasEnded: Bool { get }

    /// The next piece; `nil` when there is none for now.
    func next() -> [UInt8]?

    /// Takes a journal record of the shard that was written before the flow is stable.
    func write(record: [UInt8], keys: [DatabaseKey])

    /// Returns the bytes after STARTSTABLE: pending records, JOURNAL_OFFSET, EOF and the token.
    func tail(offset: UInt64, token: String) -> [[UInt8]]
}

/// The fixed parts of a full sync (Protocol 3.1 to 3.4 and 3.9).
enum SnapshotFrame {
    static let end: [UInt8] = [0xC8, 0, 0, 0, 0, 0, 0, 0, 0]

    /// `REDIS0009` and the AUX fields of one flow.
    static func header(shard: Int, shardCount: Int, version: DragonflyVersion, scripts: [String] = []) -> [UInt8] {
        var writer = PieceWriter()
        writer.raw("REDIS0009".utf8)
        func aux(_ key: String, _ value: String) {
            writer.byte(0xFA)
            writer.string(key)
            writer.string(value)
        }
        aux("redis-ver", "6.2.11")
        aux("df-ver", version.description)
        aux("redis-bits", "64")
        aux("ctime", String(WallClock.milliseconds() / 1000))
        aux("used-mem", "1048576")
        aux("aof-preamble", "0")
        if shard == 0 {
            for script in scripts { aux("lua", script) }
            aux("shard-count", String(shardCount))
            aux("table-mem", "524288")
        }
        aux("shard-id", String(shard))
        return writer.bytes
    }

    /// JOURNAL_BLOB of one record.
    static func blob(_ record: [UInt8]) -> [UInt8] {
        var writer = PieceWriter()
        writer.byte(0xD2)
        writer.length(1)
        writer.rawString(record)
        return writer.bytes
    }

    static func offset(_ lsn: UInt64) -> [UInt8] {
        var writer = PieceWriter()
        writer.byte(0xD3)
        writer.littleEndian(lsn)
        return writer.bytes
    }

    /// EOF, its zero checksum and the token.
    static func eof(token: String) -> [UInt8] { [0xFF, 0, 0, 0, 0, 0, 0, 0, 0] + Array(token.utf8) }
}

/// A full sync whose pieces are ready: a recording, or a data set encoded in advance.
///
/// Journal records are sent after the current piece, so every piece ends at an opcode boundary.
final class PreparedSnapshot: SnapshotSource {
    private var pieces: [[UInt8]]
    private var index = 0
    private var records: [[UInt8]] = []
    /// The tail of a recording; it is sent instead of the requested JOURNAL_OFFSET and token.
    private let recordedTail: [UInt8]?

    /// - Parameter pieces: the bytes up to and including FULLSYNC_END.
    init(pieces: [[UInt8]], recordedTail: [UInt8]? = nil) {
        self.pieces = pieces
        self.recordedTail = recordedTail
    }

    var hasEnded: Bool { index == pieces.count }

    func next() -> [UInt8]? {
        if !records.isEmpty {
            defer { records = [] }
            return records.flatMap(SnapshotFrame.blob)
        }
        guard index < pieces.count else { return nil }
        defer { index += 1 }
        return pieces[index]
    }

    func write(record: [UInt8], keys: [DatabaseKey]) { records.append(record) }

    func tail(offset: UInt64, token: String) -> [[UInt8]] {
        defer { records = [] }
        return records.map(SnapshotFrame.blob)
            + (recordedTail.map { [$0] } ?? [
                SnapshotFrame.offset(offset), SnapshotFrame.eof(token: token),
            ])
    }
}
