extension ByteReader {
    /// Where the value that begins at the cursor ends, if it is complete within `limit` bytes. The cursor stays.
    ///
    /// One string is looked for in all bytes, whatever its length; the types that are made of many elements are walked.
    ///
    /// - Returns: the offset behind the value; `nil` when it is not complete within the limit.
    func endOfValue(_ type: RDBType, within limit: Int) throws(WireError) -> Int? {
        var walker = ByteReader(bytes, offset: offset)
        if type.isOneString { return try walker.skipString() ? walker.offset : nil }
        var bounded = ByteReader(bytes.extracting(first: min(bytes.byteCount, offset + limit)), offset: offset)
        switch type {
        case .set, .hash, .zset, .list:
            guard let count = try bounded.readLength() else { return nil }
            for _ in 0..<count {
                if type == .list, try bounded.readLength() == nil { return nil }
                guard try bounded.skipString() else { return nil }
                if type == .hash, try !bounded.skipString() { return nil }
                if type == .zset, !bounded.skip(8) { return nil }
            }
            return bounded.offset
        default:
            var decoder = ValueDecoder(type: type)
            var nowhere = DiscardingSink()
            return try decoder.resume(&bounded, into: &nowhere) ? bounded.offset : nil
        }
    }
}

/// A sink for walking over a value.
private struct DiscardingSink: FlowSink, ~Copyable {
    var isPaused: Bool { false }
    mutating func auxiliaryField(name: RawSpan, value: RawSpan) {}
    mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {}
    mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {}
    mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {}
    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) {}
    mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool) {}
    mutating func journalPing(inSnapshot: Bool) {}
    mutating func journalLSN(_ lsn: UInt64) {}
    mutating func snapshotCompleted() {}
    mutating func journalOffset(_ lsn: UInt64) {}
    mutating func stableStreamBegan() {}
}

extension RawSpan {
    package func isEqual(to other: RawSpan) -> Bool {
        guard byteCount == other.byteCount else { return false }
        for offset in 0..<byteCount where self[offset] != other[offset] { return false }
        return true
    }

    package func startsWith(_ text: StaticString) -> Bool {
        guard byteCount >= text.utf8CodeUnitCount else { return false }
        for offset in 0..<text.utf8CodeUnitCount where self[offset] != text.utf8Start[offset] { return false }
        return true
    }

    /// The byte at `offset`, checked.
    package subscript(offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
}
