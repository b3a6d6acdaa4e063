/// The opcodes of the snapshot, apart from keys and values.
extension FlowDecoder {
    /// Reads one opcode and its content. A value type is an opcode, too.
    ///
    /// - Returns: `false` if it is not complete. The caller rewinds, unless a value has begun.
    mutating func readOpcode(
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
            guard let mask = try reader.readAttributeMask() else { return false }
            isSticky = mask.isSticky
        case .auxiliary:
            return try readAuxiliary(&reader, into: &sink)
        case .journalBlob:
            return try readJournalBlob(&reader, into: &sink)
        case .journalOffset:
            guard let lsn = reader.readLittleEndian(UInt64.self) else { return false }
            guard lsn < Limits.sequenceNumber else {
                throw .tooLarge("journal offset", value: lsn, limit: Limits.sequenceNumber, offset: start)
            }
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
            return try readBlob(&reader, format: opcode == .lz4Blob ? .lz4 : .zstd, start: start)
        case .taggedChunk:
            return try readChunkHead(&reader, start: start)
        case .resizeDatabase:
            return try reader.skipLengths(2)
        case .frequency:
            return reader.skip(1)
        case .idle:
            return try reader.skipLengths(1)
        case .slotInfo:
            return try reader.skipLengths(3)
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

    /// Unpacks a compressed blob. Its content is decoded before the blob's bytes are consumed.
    private mutating func readBlob(
        _ reader: inout ByteReader, format: BlobFormat, start: Int
    ) throws(WireError) -> Bool {
        guard !isInBlob else { throw .malformed("a compressed blob is nested in another", offset: start) }
        guard let head = try reader.readStringHead() else { return false }
        guard case .raw(let count) = head else {
            throw .malformed("a compressed blob is not a plain string", offset: start)
        }
        guard count <= Limits.blobBytes else {
            throw .tooLarge("compressed blob", value: UInt64(count), limit: UInt64(Limits.blobBytes), offset: start)
        }
        let body = reader.offset
        guard let packed = reader.readSpan(count) else { return false }
        blob.removeAll()
        do throws(WireError) {
            try decompressor.decompress(packed, format: format, into: &blob)
        } catch {
            throw error.shifted(by: body)
        }
        packedBlobBytes = reader.offset - start
        reader.rewind(to: start)
        return true
    }

    private mutating func readJournalBlob(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let count = try reader.readLength() else { return false }
        guard count >= 1 else { throw .malformed("a journal blob without a record", offset: start) }
        let body = reader.offset
        var content = ByteBuffer()
        swap(&content, &valueScratch)
        defer { swap(&content, &valueScratch) }
        content.removeAll()
        guard try reader.readString(into: &content) else { return false }
        var records = ByteReader(content.bytes)
        journalDatabase = 0
        do throws(WireError) {
            while records.remaining > 0 {
                guard try readJournal(&records, inSnapshot: true, into: &sink) else {
                    throw .malformed("a journal blob ends inside a record", offset: 0)
                }
            }
        } catch {
            throw error.placed(at: body)
        }
        return true
    }

    // MARK: Tagged chunks

    private mutating func readChunkHead(_ reader: inout ByteReader, start: Int) throws(WireError) -> Bool {
        guard let id = reader.readLittleEndian(UInt32.self), let count = reader.readLittleEndian(UInt32.self) else {
            return false
        }
        guard id != 0 else { throw .malformed("a tagged chunk without an id", offset: start) }
        guard count > 0 else { throw .malformed("a tagged chunk without a payload", offset: start) }
        openChunk = (id, Int(count))
        return true
    }

    /// Continues to read the payload of the open chunk, which may arrive in pieces like everything else.
    mutating func continueChunk(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        guard var chunk = openChunk else { return true }
        let start = reader.offset
        let present = min(chunk.bytesLeft, reader.remaining)
        let hasAll = present == chunk.bytesLeft
        var payload = ByteReader(reader.bytes.extracting(first: start + present), offset: start)
        defer { if let key = chunks.currentKey { remember(key.name.span.bytes, database: key.database) } }
        let isEnded = try chunks.resume(
            chunk.id, database: database, payload: &payload, scratch: &keyScratch, into: &sink)
        _ = reader.skip(payload.offset - start)
        chunk.bytesLeft -= payload.offset - start
        if chunk.bytesLeft == 0 {
            // Otherwise the next bytes of the flow would be added to the element.
            guard !chunks.isInsideElement(chunk.id) else {
                throw .malformed("a tagged chunk ends inside an element", offset: reader.offset)
            }
            openChunk = nil
            return true
        }
        openChunk = chunk
        if isEnded {
            throw .malformed("a tagged chunk goes on after the end of its value", offset: reader.offset)
        }
        if hasAll, !sink.isPaused {
            throw .malformed("a tagged chunk ends inside an element", offset: reader.offset)
        }
        return false
    }
}

/// Opcodes of the snapshot phase. Source: Protocol 3.2.
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
