/// The values that a master (v1.38.2 and later) sends in tagged chunks: one suspended decoder a stream id.
///
/// The first chunk of an id holds `[EXPIRETIME_MS] [DF_MASK] type key` and the beginning of the value, the later ones
/// only more of the value. The database is the one that was selected at the first chunk. Splits are at element
/// boundaries, and a value ends at the end of a chunk. Source: protocol notes 3.8.
struct TaggedChunks: ~Copyable {
    /// Values that may be open at once in a flow: the masters observed had two.
    static let openLimit = 1024

    enum Outcome { case needsMore, ended }

    private final class Open {
        var decoder: ValueDecoder
        init(_ decoder: consuming ValueDecoder) { self.decoder = decoder }
    }

    private var open: [ChunkStreamID: Open] = [:]

    var isEmpty: Bool { open.isEmpty }

    /// Decodes what `payload` holds of the chunk of `id`; what it leaves unread is not complete yet.
    mutating func resume(
        _ id: ChunkStreamID, database: UInt32, payload: inout ByteReader, scratch: inout ByteBuffer,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Outcome {
        if let value = open[id] {
            guard try value.decoder.resume(&payload, into: &sink) else { return .needsMore }
            open[id] = nil
            return .ended
        }
        let start = payload.offset
        guard let head = try readHead(&payload, database: database, scratch: &scratch) else {
            payload.rewind(to: start)
            return .needsMore
        }
        guard open.count < Self.openLimit else {
            throw .tooLarge(
                "open chunked values", value: UInt64(open.count), limit: UInt64(Self.openLimit), offset: start)
        }
        sink.valueBegan(head, key: scratch.bytes, stream: id)
        let value = Open(ValueDecoder(type: head.type, stream: id))
        open[id] = value
        guard try value.decoder.resume(&payload, into: &sink) else { return .needsMore }
        open[id] = nil
        return .ended
    }

    /// Reads the head of a value; its key is in `scratch` then.
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
                guard let mask = payload.readLittleEndian(UInt32.self) else { return nil }
                guard mask & ~3 == 0 else { throw .unsupported("attribute mask", code: UInt64(mask), offset: start) }
                if mask & 2 != 0, payload.readLittleEndian(UInt32.self) == nil { return nil }
                isSticky = mask & 1 != 0
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
