/// The serializer's buffer of one flow: entries and journal blobs, flushed as plain bytes or as a compressed blob.
struct EntryBuffer {
    private let compression: Compression
    private let chunkBytes: Int
    /// Values over `chunkBytes` are split into tagged chunks.
    private let isTagging: Bool
    private var writer = PieceWriter()
    /// The database that the buffer has selected; a flush resets it.
    private var database: Int?
    private var nextStreamID: UInt32 = 1
    /// The buffer holds a large value that is not split into tagged chunks. A master flushes such a value before its
    /// end, and does not compress those bytes.
    private var holdsLargeValue = false

    static let targetBytes = 32 << 10

    init(options: MasterOptions) {
        self.init(
            compression: options.compression, chunkBytes: options.chunkBytes, isTagging: options.sendsTaggedChunks)
    }

    init(compression: Compression, chunkBytes: Int, isTagging: Bool) {
        self.compression = compression
        self.chunkBytes = chunkBytes
        self.isTagging = isTagging
    }

    var count: Int { writer.count }
    var isFull: Bool { writer.count >= Self.targetBytes }

    /// Appends bytes between two entries: FULLSYNC_END or a journal blob.
    mutating func append(opcode bytes: [UInt8]) { writer.raw(bytes) }

    mutating func append(database: Int, key: [UInt8], expiresAt: Int64?, value: Value) {
        select(database)
        if case .string(let bytes) = value, bytes.count + key.count + 32 < chunkBytes {
            return appendString(key: key, expiresAt: expiresAt, value: bytes)
        }
        var encoder = ValueEncoder(compression: compression)
        let type = encoder.encode(value)
        let head = Self.head(key: key, expiresAt: expiresAt, type: type, compression: compression)
        let body = encoder.writer.bytes
        guard head.count + body.count > chunkBytes, isTagging, encoder.boundaries.count > 1 else {
            writer.raw(head)
            writer.raw(body)
            if head.count + body.count > chunkBytes { holdsLargeValue = true }
            return
        }
        let id = takeStreamID()
        var payload = head
        var from = 0
        for boundary in encoder.boundaries where boundary - from + payload.count >= chunkBytes {
            payload += body[from..<boundary]
            appendChunk(id: id, payload: payload)
            payload = []
            from = boundary
        }
        payload += body[from...]
        if !payload.isEmpty { appendChunk(id: id, payload: payload) }
    }

    /// Writes a string straight into the buffer: the fast path for large data sets of small strings.
    private mutating func appendString(key: [UInt8], expiresAt: Int64?, value: [UInt8]) {
        if let expiresAt {
            writer.byte(0xFC)
            writer.littleEndian(expiresAt)
        }
        writer.byte(0)
        if compression == .lzf {
            writer.lzfString(key)
            writer.lzfString(value)
        } else {
            writer.string(key)
            writer.string(value)
        }
    }

    mutating func select(_ wanted: Int) {
        guard database != wanted else { return }
        writer.byte(0xFE)
        writer.length(wanted)
        database = wanted
    }

    mutating func takeStreamID() -> UInt32 {
        defer { nextStreamID += 1 }
        return nextStreamID
    }

    mutating func appendChunk(id: UInt32, payload: [UInt8]) {
        writer.byte(0xE0)
        writer.littleEndian(id)
        writer.littleEndian(UInt32(payload.count))
        writer.raw(payload)
    }

    /// Expiry, type and key of an entry.
    static func head(key: [UInt8], expiresAt: Int64?, type: UInt8, compression: Compression) -> [UInt8] {
        var writer = PieceWriter()
        if let expiresAt {
            writer.byte(0xFC)
            writer.littleEndian(expiresAt)
        }
        writer.byte(type)
        if compression == .lzf { writer.lzfString(key) } else { writer.string(key) }
        return writer.bytes
    }

    /// Empties the buffer and returns its bytes as they are sent; `nil` if it is empty.
    mutating func flush() -> [UInt8]? {
        if writer.isEmpty { return nil }
        defer {
            database = nil
            holdsLargeValue = false
        }
        let bytes = writer.take()
        return holdsLargeValue ? bytes : BlobCompressor.blob(bytes, compression)
    }
}
