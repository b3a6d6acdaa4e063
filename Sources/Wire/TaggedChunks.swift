/// The values that a master (v1.38.2 and later) sends in tagged chunks, with one suspended decoder for each stream ID.
///
/// The first chunk of an id holds `[EXPIRETIME_MS] [DF_MASK] type key` and the beginning of the value, the later ones
/// only more of the value. The database is the one that was selected at the first chunk. Splits are at element
/// boundaries, and a value ends at the end of a chunk. Source: Protocol 3.8.
struct TaggedChunks: ~Copyable {
    /// The number of values that may be open at once in a flow. The masters observed had two.
    static let openLimit = 1024

    private final class Open {
        let key: [UInt8]
        let database: UInt32
        var decoder: ValueDecoder

        init(key: [UInt8], database: UInt32, type: RDBType, id: ChunkStreamID) {
            self.key = key
            self.database = database
            decoder = ValueDecoder(type: type, stream: id)
        }
    }

    private var open: [ChunkStreamID: Open] = [:]
    /// The shortened key of the chunk that was decoded last, for error messages.
    private(set) var currentKey: (name: [UInt8], database: UInt32)?

    var isEmpty: Bool { open.isEmpty }

    /// Decodes what `payload` holds of the chunk of `id`. Bytes that it leaves unread belong to an incomplete element.
    ///
    /// - Returns: `true` at the end of the value.
    mutating func resume(
        _ id: ChunkStreamID, database: UInt32, payload: inout ByteReader, scratch: inout ByteBuffer,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        var value = open[id]
        if value == nil { value = try begin(id, database: database, payload: &payload, scratch: &scratch, into: &sink) }
        guard let value else { return false }
        currentKey = (value.key, value.database)
        guard try value.decoder.resume(&payload, into: &sink) else { return false }
        open[id] = nil
        return true
    }

    /// Whether the value of `id` is open and its bytes so far end in the middle of an element.
    func isInsideElement(_ id: ChunkStreamID) -> Bool { open[id]?.decoder.isInsideElement ?? false }

    private mutating func begin(
        _ id: ChunkStreamID, database: UInt32, payload: inout ByteReader, scratch: inout ByteBuffer,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Open? {
        let start = payload.offset
        guard let head = try readHead(&payload, database: database, scratch: &scratch) else {
            payload.rewind(to: start)
            return nil
        }
        guard open.count < Self.openLimit else {
            throw .tooLarge(
                "open chunked values", value: UInt64(open.count), limit: UInt64(Self.openLimit), offset: start)
        }
        sink.valueBegan(head, key: scratch.bytes, stream: id)
        let key = scratch.bytes.extracting(first: FlowDecoder.rememberedKeyBytes).withUnsafeBytes { Array($0) }
        let value = Open(key: key, database: database, type: head.type, id: id)
        open[id] = value
        return value
    }

    /// Reads the head of a value. After that, the value's key is in `scratch`.
    private func readHead(
        _ payload: inout ByteReader, database: UInt32, scratch: inout ByteBuffer
    ) throws(WireError) -> EntryHead? {
        var expiry: Int64?
        var isSticky = false
        while true {
            let start = payload.offset
            guard let code = payload.readUInt8() else { return nil }
            switch code {
            case 252:
                guard let time = payload.readLittleEndian(Int64.self) else { return nil }
                expiry = time
            case 220:
                guard let mask = try payload.readAttributeMask() else { return nil }
                isSticky = mask.isSticky
            default:
                guard let type = RDBType(rawValue: code) else {
                    throw .unsupported("value type", code: UInt64(code), offset: start)
                }
                scratch.removeAll()
                guard try payload.readString(into: &scratch) else { return nil }
                return EntryHead(database: database, expiryMilliseconds: expiry, type: type, isSticky: isSticky)
            }
        }
    }
}

/// What DF_MASK says about the next key. Memcache flags are read and dropped, because no Redis has them.
struct AttributeMask {
    let isSticky: Bool
}

extension ByteReader {
    /// The payload of DF_MASK. The caller rewinds when bytes are missing.
    mutating func readAttributeMask() throws(WireError) -> AttributeMask? {
        let start = offset
        guard let mask = readLittleEndian(UInt32.self) else { return nil }
        guard mask & ~3 == 0 else { throw .unsupported("attribute mask", code: UInt64(mask), offset: start) }
        if mask & 2 != 0, !skip(4) { return nil }
        return AttributeMask(isSticky: mask & 1 != 0)
    }
}
