/// Decodes one flow, from the RDB header to the journal, out of bytes that arrive in any pieces.
///
/// The caller keeps the flow's bytes in a window, calls `decode` on it and removes from its front what was consumed.
/// Whatever is not complete stays in the window and is looked at again when more has come; large values are taken in
/// parts (`ValueDecoder`), so the window stays near one read plus one small unit.
///
/// ```
/// "REDIS0009" | AUX ... | entries, JOURNAL_BLOBs, compressed blobs | C8 | more of them | D3 | FF | token | journal
///  header      ─────────────────────── entries ─────────────────────────────────────────────  token   journal
/// ```
/// What the sink sees depends on the bytes alone, not on how they were cut; only `elementBytes` may come in other
/// pieces. The snapshot's opcodes are in `FlowDecoder+Snapshot.swift`, keys and values in `FlowDecoder+Entries.swift`.
///
/// Source: Protocol 3 and 4.
package struct FlowDecoder: ~Copyable {
    /// A value that is complete within this number of bytes is handed over whole.
    package static let wholeValueBytes = 256 << 10

    package enum Phase: Sendable { case header, entries, token, journal }

    package internal(set) var phase: Phase
    /// The number of bytes of the flow that have been consumed.
    package private(set) var consumedBytes: UInt64 = 0
    private let token: [UInt8]
    let maxRecordBytes: Int
    var isCompleted = false
    var hasJournalOffset = false

    // The entry that is being read.
    var database: UInt32 = 0
    var expiryMilliseconds: Int64?
    var isSticky = false
    /// The progress of the walk over an entry's value that is not complete in the window yet.
    var extent: ValueExtent?
    /// The value that is being handed over in parts.
    var value: ValueDecoder?
    var keyScratch = ByteBuffer()
    var valueScratch = ByteBuffer()

    // The key that an error names.
    private var lastKey = ByteBuffer()
    private var lastKeyDatabase: UInt32?
    /// The maximum number of its bytes that are kept.
    static let rememberedKeyBytes = 256

    // One suspended decoder for each stream ID of tagged chunks, and the chunk whose payload is arriving.
    var chunks = TaggedChunks()
    var openChunk: (id: ChunkStreamID, bytesLeft: Int)?

    /// The content of the compressed blob that is being decoded.
    var blob = ByteBuffer()
    private var blobOffset = 0
    /// The size of the blob in the window, whose bytes are consumed after its content is decoded; 0 outside a blob.
    var packedBlobBytes = 0
    var decompressor = BlobDecompressor()

    var journalDatabase: UInt32 = 0

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
    /// If it returns while the sink is not paused, more bytes are needed. While the sink is paused, everything that the sink
    /// has not seen yet is still in the window.
    ///
    /// - Parameter window: the flow, beginning with the first byte that has not been consumed.
    /// - Returns: the number of bytes of `window` that were consumed; the caller removes them.
    /// - Throws: `FlowDecodingError`; the flow cannot be read any further.
    package mutating func decode(
        _ window: RawSpan, into sink: inout some FlowSink & ~Copyable
    ) throws(FlowDecodingError) -> Int {
        var reader = ByteReader(window)
        do throws(WireError) {
            while !sink.isPaused {
                if isInBlob {
                    guard try decodeBlob(into: &sink) else { break }
                    let isBehind = reader.skip(packedBlobBytes)
                    precondition(isBehind, "the window begins with what was not consumed")
                    packedBlobBytes = 0
                } else {
                    guard try step(&reader, into: &sink) else { break }
                }
            }
        } catch {
            throw failure(error, blobOffset: reader.offset)
        }
        // An incomplete unit leaves the reader at the unit's start, or after the elements that were handed over.
        consumedBytes += UInt64(reader.offset)
        return reader.offset
    }

    var isInBlob: Bool { packedBlobBytes > 0 }

    private func failure(_ error: WireError, blobOffset: Int) -> FlowDecodingError {
        let before = Int(truncatingIfNeeded: consumedBytes)
        let flowOffset = consumedBytes + UInt64(isInBlob ? blobOffset : error.offset)
        let database = phase == .journal ? journalDatabase : lastKeyDatabase ?? self.database
        return FlowDecodingError(
            cause: isInBlob ? error : error.shifted(by: before), flowOffset: flowOffset, isInsideBlob: isInBlob,
            database: database, lastKey: lastKeyDatabase == nil ? "" : printableKey(lastKey.bytes))
    }

    /// Keeps the key for error messages.
    mutating func remember(_ key: RawSpan, database: UInt32) {
        lastKeyDatabase = database
        lastKey.removeAll()
        lastKey.append(key.extracting(first: Self.rememberedKeyBytes))
    }

    /// - Returns: `true` if the blob is decoded completely, `false` if the sink paused inside it.
    private mutating func decodeBlob(into sink: inout some FlowSink & ~Copyable) throws(WireError) -> Bool {
        // The blob's memory is moved out of `self` meanwhile, so that its bytes can be read while `self` changes.
        var content = ByteBuffer()
        swap(&content, &blob)
        defer { swap(&content, &blob) }
        var reader = ByteReader(content.bytes, offset: blobOffset)
        while reader.remaining > 0 {
            let isWhole = sink.isPaused ? false : try step(&reader, into: &sink)
            if isWhole { continue }
            guard sink.isPaused else {
                throw .malformed("a compressed blob ends inside an entry", offset: reader.offset)
            }
            blobOffset = reader.offset
            return false
        }
        guard value == nil, openChunk == nil else {
            throw .malformed("a compressed blob ends inside an entry", offset: reader.offset)
        }
        blobOffset = 0
        return true
    }

    /// Decodes one unit.
    ///
    /// - Returns: `false` if it is not complete yet, or if the sink paused inside it. The reader is where the next call must
    ///   start.
    private mutating func step(
        _ reader: inout ByteReader, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        // No header, opcode, token or record begins with this byte.
        if !isInBlob, openChunk == nil, value == nil, reader.peekUInt8() == UInt8(ascii: "-") {
            guard let text = try reader.readErrorReply(insteadOf: phase) else { return false }
            sink.errorReply(text)
            return true
        }
        switch phase {
        case .entries:
            if openChunk != nil { return try continueChunk(&reader, into: &sink) }
            if value != nil { return try continueValue(&reader, into: &sink) }
            guard try readOpcode(&reader, into: &sink) else {
                // A value that has begun keeps what it consumed; everything else starts again.
                if value == nil { reader.rewind(to: start) }
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
            journalDatabase = 0
            sink.stableStreamBegan()
            return true
        case .journal:
            return try readJournal(&reader, inSnapshot: false, into: &sink)
        }
    }

    /// Reads one journal record.
    mutating func readJournal(
        _ reader: inout ByteReader, inSnapshot: Bool, into sink: inout some FlowSink & ~Copyable
    ) throws(WireError) -> Bool {
        let start = reader.offset
        guard let record = try reader.readJournalRecord(maxPayloadBytes: maxRecordBytes) else { return false }
        switch record {
        case .select(let index): journalDatabase = index
        case .command(let command):
            if command.argumentCount > 1 { remember(command.argument(at: 1), database: journalDatabase) }
            sink.command(command, database: journalDatabase, inSnapshot: inSnapshot)
        case .ping: sink.journalPing(inSnapshot: inSnapshot)
        case .lsn(let lsn):
            guard !inSnapshot else { throw .malformed("an LSN record inside the snapshot", offset: start) }
            sink.journalLSN(lsn)
        }
        return true
    }
}
