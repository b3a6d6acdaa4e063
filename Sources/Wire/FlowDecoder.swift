/// Decodes one flow, from the RDB header to the journal, out of bytes that arrive in any pieces.
///
/// The caller keeps the flow's bytes in a window, calls `decode` on it and removes from its front what was consumed.
/// Whatever is not complete stays in the window and is looked at again when more has come; only values are taken in
/// parts (`ValueDecoder`), so the window stays near one read plus one small unit.
///
/// ```
/// "REDIS0009" | AUX ... | entries, JOURNAL_BLOBs, compressed blobs | C8 | more of them | D3 | FF | token | journal
///  header      ─────────────────────── entries ─────────────────────────────────────────────  token   journal
/// ```
/// Source: protocol notes 3 and 4.
package struct FlowDecoder: ~Copyable {
    /// A value that is complete within so many bytes is handed over whole.
    package static let wholeValueBytes = 256 << 10

    package enum Phase: Sendable { case header, entries, token, journal }

    package private(set) var phase: Phase
    /// Bytes of the flow that have been consumed.
    package private(set) var consumedBytes: UInt64 = 0
    private let token: [UInt8]
    private let maxRecordBytes: Int
    private var isCompleted = false
    private var hasJournalOffset = false

    // The entry that is being read.
    private var database: UInt32 = 0
    private var expiryMilliseconds: Int64?
    private var isSticky = false
    private var value: ValueDecoder?
    private var lastKey = ByteBuffer()
    private var lastDatabase: UInt32 = 0
    private var keyScratch = ByteBuffer()
    private var valueScratch = ByteBuffer()

    // Tagged chunks: one suspended decoder a stream id, and the chunk whose payload is arriving.
    private var chunks = TaggedChunks()
    private var openChunk: (id: ChunkStreamID, left: Int)?

    // The compressed blob whose content is being decoded.
    private var blob = ByteBuffer()
    private var blobOffset = 0
    private var isInBlob = false
    private var decompressor = BlobDecompressor()

    private var journalDatabase: UInt32 = 0

    /// A decoder for a flow that answered FULL: snapshot, then journal. `token` is the flow's end-of-snapshot token.
    package init(snapshotToken token: [UInt8], maxRecordBytes: Int = Int(Limits.stringBytes)) {
        self.token = token
        self.maxRecordBytes = maxRecordBytes
        phase = .header
    }

    /// A decoder for a flow that answered PARTIAL: the journal from its first byte.
    package init(journalWithMaxRecordBytes maxRecordBytes: Int = Int(Limits.stringBytes)) {
        token = []
        self.maxRecordBytes = maxRecordBytes
        phase = .journal
    }

    /// Decodes what is complete in `window`, until the sink pauses.
    ///
    /// - Returns: how many bytes of `window` were consumed; the caller removes them.
    /// - Throws: `FlowDecodingError`; the flow cannot be read on after it.
    package mutating func decode(
        _ window: RawSpan, into sink: inout some FlowSink & ~Copyable
    ) throws(FlowDecodingError) -> Int {
        var reader = ByteReader(window)
        var unit = 0
        do throws(WireError) {
            while !sink.isPaused {
                if isInBlob {
                    guard try decodeBlob(into: &sink) else { break }
                }
                unit = reader.offset
                guard try step(&reader, into: &sink) else { break }
            }
        } catch {
            throw failure(error, unitOffset: unit)
        }
        // A unit that is incomplete leaves the reader at its start, or behind the elements it has given away.
        consumedBytes += UInt64(reader.offset)
        return reader.offset
    }

    private func failure(_ error: WireError, unitOffset: Int) -> FlowDecodingError {
        FlowDecodingError(
            cause: error, flowOffset: consumedBytes + UInt64(isInBlob ? unitOffset : error.offset),
            isInsideBlob: isInBlob,
            database: phase == .journal ? journalDatabase : lastDatabase,
            lastKey: lastKey.isEmpty ? "" : printableKey(lastKey.bytes))
    }

    /// - Returns: `true` when the blob is through, `false` when the sink paused inside it.
    private mutating func decodeBlob(into sink: inout some FlowSink & ~Copyable) throws(WireError) -> Bool {
        // The blob's memory leaves `self` for the time, so that its bytes can be read while `self` changes.
        var content = ByteBuffer()
        swap(&content, &blob)
        defer { swap(&content, &blob) }
        var reader = ByteReader(content.bytes, offset: blobOffset)
        while reader.remaining > 0 {
            if sink.isPaused {
                blobOffset = reader.offset
                return false
            }
            guard try step(&reader, into: &sink), phase == .entries else {
                throw .malformed("a compressed blob ends inside an entry", offset: reader.offset)
            }
        }
        if value != nil || openChunk != nil {
            throw .malformed("a compressed blob ends inside a value", offset: reader.offset)
        }
        isInBlob = false
        return true
    }

    /// Decodes one unit. `false`: it is not complete yet, and the reader stands where the next call must start.
    private mutating func step(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        switch phase {
        case .entries:
            if openChunk != nil { return try continueChunk(&reader, into: &sink) }
            if value != nil { return try continueValue(&reader, into: &sink) }
            guard try readOpcode(&reader, into: &sink) else {
                // A value that has begun keeps what it consumed; everything else starts again.
                if value == nil, openChunk == nil { reader.rewind(to: start) }
                return false
            }
            return true
        case .header:
            guard let magic = reader.readSpan(9) else { return false }
            guard magic.startsWith("REDIS") else {
                throw .malformed("the flow does not begin with an RDB header", offset: start)
            }
            phase = .entries
            return true
        case .token:
            guard let received = reader.readSpan(token.count) else { return false }
            guard received.isEqual(to: token.span.bytes) else {
                throw .malformed("the end-of-snapshot token is not the one announced for this flow", offset: start)
            }
            phase = .journal
            sink.stableStreamBegan()
            return true
        case .journal:
            return try Self.readJournal(
                &reader, database: &journalDatabase, maxRecordBytes: maxRecordBytes, inSnapshot: false, into: &sink)
        }
    }

    // MARK: Snapshot

    private mutating func readOpcode(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let code = reader.readUInt8() else { return false }
        guard let opcode = SnapshotOpcode(rawValue: code) else {
            guard code < 200, let type = RDBType(rawValue: code) else {
                throw .unsupported(code < 200 ? "value type" : "snapshot opcode", code: UInt64(code), offset: start)
            }
            return try readEntry(&reader, type: type, into: &sink)
        }
        switch opcode {
        case .selectDatabase:
            guard let index = try reader.readCount("database number", limit: 1 << 31) else { return false }
            database = UInt32(index)
        case .expiryMilliseconds:
            guard let time = reader.readLittleEndian(Int64.self) else { return false }
            expiryMilliseconds = time
        case .expirySeconds:
            guard let time = reader.readLittleEndian(Int32.self) else { return false }
            expiryMilliseconds = Int64(time) * 1000
        case .attributeMask:
            guard let mask = reader.readLittleEndian(UInt32.self) else { return false }
            guard mask & ~3 == 0 else { throw .unsupported("attribute mask", code: UInt64(mask), offset: start) }
            if mask & 2 != 0, reader.readLittleEndian(UInt32.self) == nil { return false }
            isSticky = mask & 1 != 0
        case .auxiliary:
            return try readAuxiliary(&reader, into: &sink)
        case .journalBlob:
            return try readJournalBlob(&reader, into: &sink)
        case .journalOffset:
            guard let lsn = reader.readLittleEndian(UInt64.self) else { return false }
            hasJournalOffset = true
            sink.journalOffset(lsn)
        case .fullSyncEnd:
            guard let padding = reader.readLittleEndian(UInt64.self) else { return false }
            guard padding == 0 else { throw .malformed("FULLSYNC_END is not followed by zeros", offset: start) }
            guard !isCompleted else { throw .malformed("FULLSYNC_END came twice", offset: start) }
            guard chunks.isEmpty else { throw .malformed("a chunked value is open at FULLSYNC_END", offset: start) }
            isCompleted = true
            sink.snapshotCompleted()
        case .zstdBlob, .lz4Blob:
            return try readBlob(&reader, format: opcode == .lz4Blob ? .lz4 : .zstd)
        case .taggedChunk:
            return try readChunkHead(&reader)
        case .resizeDatabase:
            guard try reader.readLength() != nil, try reader.readLength() != nil else { return false }
        case .frequency:
            guard reader.readUInt8() != nil else { return false }
        case .idle:
            guard try reader.readLength() != nil else { return false }
        case .slotInfo:
            for _ in 0..<3 where try reader.readLength() == nil { return false }
        case .moduleAuxiliary, .function, .functionPreview, .vectorIndex, .documentIndex:
            throw .unsupported("snapshot opcode", code: UInt64(code), offset: start)
        case .endOfFile:
            return try readEnd(&reader, start: start)
        }
        return true
    }

    private mutating func readEnd(_ reader: inout ByteReader, start: Int) throws(WireError) -> Bool {
        guard let checksum = reader.readLittleEndian(UInt64.self) else { return false }
        guard !isInBlob else { throw .malformed("the end of the snapshot is inside a compressed blob", offset: start) }
        guard checksum == 0 else { throw .malformed("the snapshot's checksum is not zero", offset: start) }
        guard isCompleted else { throw .malformed("the snapshot ends without FULLSYNC_END", offset: start) }
        guard hasJournalOffset else { throw .malformed("the snapshot ends without a JOURNAL_OFFSET", offset: start) }
        guard chunks.isEmpty else {
            throw .malformed("a chunked value is open at the end of the snapshot", offset: start)
        }
        phase = .token
        return true
    }

    private mutating func readAuxiliary(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        keyScratch.removeAll()
        valueScratch.removeAll()
        guard try reader.readString(into: &keyScratch), try reader.readString(into: &valueScratch) else { return false }
        sink.auxiliaryField(name: keyScratch.bytes, value: valueScratch.bytes)
        return true
    }

    private mutating func takeHead(_ type: RDBType) -> EntryHead {
        defer { (expiryMilliseconds, isSticky) = (nil, false) }
        return EntryHead(database: database, expiryMilliseconds: expiryMilliseconds, type: type, isSticky: isSticky)
    }

    private mutating func readEntry(
        _ reader: inout ByteReader, type: RDBType, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        keyScratch.removeAll()
        guard let keyHead = try reader.readStringHead() else { return false }
        let key: Range<Int>?
        switch keyHead {
        case .raw(let count):
            key = reader.offset..<(reader.offset + count)
            guard reader.skip(count) else { return false }
        case .integer(let number):
            key = nil
            keyScratch.append(decimal: number)
        case .compressed(let count, let uncompressedCount):
            key = nil
            guard let packed = reader.readSpan(count) else { return false }
            try LZF.decompress(packed, uncompressedCount: uncompressedCount, into: &keyScratch)
        }
        if type == .string { return try readStringValue(&reader, key: key, into: &sink) }

        let start = reader.offset
        guard let end = try reader.endOfValue(type, within: Self.wholeValueBytes) else {
            if type.isOneString || reader.bytes.byteCount - start < Self.wholeValueBytes { return false }
            beginValue(type, key: key, in: reader.bytes, into: &sink)
            return try continueValue(&reader, into: &sink)
        }
        _ = reader.skip(end - start)
        let head = takeHead(type)
        let body = reader.bytes.extracting(start..<end)
        if let key {
            sink.entry(head, key: reader.bytes.extracting(key), body: body)
        } else {
            sink.entry(head, key: keyScratch.bytes, body: body)
        }
        remember(key, in: reader.bytes)
        return true
    }

    private mutating func readStringValue(
        _ reader: inout ByteReader, key: Range<Int>?, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let valueHead = try reader.readStringHead() else { return false }
        switch valueHead {
        case .raw(let count) where count <= Self.wholeValueBytes:
            guard let value = reader.readSpan(count) else { return false }
            emitString(value, key: key, in: reader.bytes, into: &sink)
        case .integer(let number):
            valueScratch.removeAll()
            valueScratch.append(decimal: number)
            emitString(valueScratch.bytes, key: key, in: reader.bytes, into: &sink)
        case .compressed(let count, let uncompressedCount) where uncompressedCount <= Self.wholeValueBytes:
            guard let packed = reader.readSpan(count) else { return false }
            valueScratch.removeAll()
            try LZF.decompress(packed, uncompressedCount: uncompressedCount, into: &valueScratch)
            emitString(valueScratch.bytes, key: key, in: reader.bytes, into: &sink)
        case .raw, .compressed:
            reader.rewind(to: start)
            beginValue(.string, key: key, in: reader.bytes, into: &sink)
            return try continueValue(&reader, into: &sink)
        }
        _ = takeHead(.string)
        remember(key, in: reader.bytes)
        return true
    }

    private func emitString(
        _ value: RawSpan, key: Range<Int>?, in bytes: RawSpan, into sink: inout some FlowSink & ~Copyable
    ) {
        let head = EntryHead(
            database: database, expiryMilliseconds: expiryMilliseconds, type: .string, isSticky: isSticky)
        if let key {
            sink.stringEntry(head, key: bytes.extracting(key), value: value)
        } else {
            sink.stringEntry(head, key: keyScratch.bytes, value: value)
        }
    }

    private mutating func beginValue(
        _ type: RDBType, key: Range<Int>?, in bytes: RawSpan, into sink: inout some FlowSink & ~Copyable
    ) {
        let head = takeHead(type)
        defer { remember(key, in: bytes) }
        value = ValueDecoder(type: type)
        if let key {
            sink.valueBegan(head, key: bytes.extracting(key), stream: 0)
        } else {
            sink.valueBegan(head, key: keyScratch.bytes, stream: 0)
        }
    }

    private mutating func continueValue(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        guard try value?.resume(&reader, into: &sink) ?? true else { return false }
        value = nil
        return true
    }

    /// Keeps the key for error messages; a key that is not in `bytes` is in `keyScratch`, and of no more use there.
    private mutating func remember(_ key: Range<Int>?, in bytes: RawSpan) {
        lastDatabase = database
        guard let key else { return swap(&lastKey, &keyScratch) }
        lastKey.removeAll()
        lastKey.append(bytes.extracting(key.lowerBound..<min(key.upperBound, key.lowerBound + 256)))
    }

    // MARK: Compressed blobs

    private mutating func readBlob(_ reader: inout ByteReader, format: BlobFormat) throws(WireError) -> Bool {
        let start = reader.offset
        guard !isInBlob else { throw .malformed("a compressed blob is nested in another", offset: start) }
        guard let head = try reader.readStringHead() else { return false }
        guard case .raw(let count) = head else {
            throw .malformed("a compressed blob is not a plain string", offset: start)
        }
        guard count <= Limits.blobBytes else {
            throw .tooLarge("compressed blob", value: UInt64(count), limit: UInt64(Limits.blobBytes), offset: start)
        }
        guard let packed = reader.readSpan(count) else { return false }
        blob.removeAll()
        do throws(WireError) {
            try decompressor.decompress(packed, format: format, into: &blob)
        } catch {
            throw error.shifted(by: start)
        }
        blobOffset = 0
        isInBlob = true
        return true
    }

    // MARK: Tagged chunks

    private mutating func readChunkHead(_ reader: inout ByteReader) throws(WireError) -> Bool {
        let start = reader.offset
        guard let id = reader.readLittleEndian(UInt32.self), let count = reader.readLittleEndian(UInt32.self) else {
            return false
        }
        guard id != 0, count > 0 else { throw .malformed("a tagged chunk without an id or a payload", offset: start) }
        openChunk = (id, Int(count))
        return true
    }

    /// Reads on in the payload of the open chunk, which may arrive in parts as everything else.
    private mutating func continueChunk(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        guard var chunk = openChunk else { return true }
        let start = reader.offset
        let present = min(chunk.left, reader.remaining)
        var payload = ByteReader(reader.bytes.extracting(first: start + present), offset: start)
        let outcome = try chunks.resume(
            chunk.id, database: database, payload: &payload, scratch: &keyScratch, into: &sink)
        chunk.left -= payload.offset - start
        _ = reader.skip(payload.offset - start)
        if chunk.left == 0 {
            openChunk = nil
            return true
        }
        openChunk = chunk
        if outcome == .ended {
            throw .malformed("a tagged chunk goes on behind the end of its value", offset: reader.offset)
        }
        if present == chunk.left + (payload.offset - start) {
            throw .malformed("a tagged chunk ends inside an element", offset: reader.offset)
        }
        return false
    }

    // MARK: Journal

    private mutating func readJournalBlob(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let count = try reader.readLength(), try reader.skipString() else { return false }
        guard count >= 1 else { throw .malformed("a journal blob without a record", offset: start) }
        reader.rewind(to: start)
        _ = try reader.readLength()
        valueScratch.removeAll()
        _ = try reader.readString(into: &valueScratch)
        var content = ByteBuffer()
        swap(&content, &valueScratch)
        defer { swap(&content, &valueScratch) }
        var records = ByteReader(content.bytes)
        var database: UInt32 = 0
        while records.remaining > 0 {
            guard
                try Self.readJournal(
                    &records, database: &database, maxRecordBytes: maxRecordBytes, inSnapshot: true, into: &sink)
            else {
                throw .malformed("a journal blob ends inside a record", offset: start)
            }
        }
        return true
    }

    private static func readJournal(
        _ reader: inout ByteReader, database: inout UInt32, maxRecordBytes: Int, inSnapshot: Bool,
        into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        guard let record = try reader.readJournalRecord(maxPayloadBytes: maxRecordBytes) else { return false }
        switch record {
        case .select(let index): database = index
        case .command(let command): sink.command(command, database: database, inSnapshot: inSnapshot)
        case .ping: sink.journalPing(inSnapshot: inSnapshot)
        case .lsn(let lsn):
            guard !inSnapshot else { throw .malformed("an LSN record inside the snapshot", offset: reader.offset) }
            sink.journalLSN(lsn)
        }
        return true
    }
}

/// Opcodes of the snapshot phase. Source: protocol notes 3.2.
private enum SnapshotOpcode: UInt8 {
    case fullSyncEnd = 200
    case zstdBlob = 201
    case lz4Blob = 202
    case journalBlob = 210
    case journalOffset = 211
    case attributeMask = 220
    case vectorIndex = 222
    case documentIndex = 223
    case taggedChunk = 224
    case slotInfo = 244
    case function = 245
    case functionPreview = 246
    case moduleAuxiliary = 247
    case idle = 248
    case frequency = 249
    case auxiliary = 250
    case resizeDatabase = 251
    case expiryMilliseconds = 252
    case expirySeconds = 253
    case selectDatabase = 254
    case endOfFile = 255
}
