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

/// Whether a whole value of `type`, as it stands in a snapshot, is a stream with consumer groups.
package func streamHasGroups(_ type: RDBType, body: RawSpan) -> Bool {
    guard type == .stream1 || type == .stream2 || type == .stream3 else { return false }
    var decoder = ValueDecoder(type: type)
    var finder = GroupFinder()
    var reader = ByteReader(body)
    _ = try? decoder.resume(&reader, into: &finder)
    return finder.hasGroups
}

private struct GroupFinder: ValueSink, ~Copyable {
    var hasGroups = false

    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) {
        if case .streamGroup = event { hasGroups = true }
    }
}

/// A sink for walking over a value.
private struct DiscardingSink: ValueSink, ~Copyable {
    mutating func value(_ event: ValueEvent, stream: ChunkStreamID) {}
}

/// A sink for the events of one value, which is not in a flow: the rest of a flow's events do not come.
package protocol ValueSink: FlowSink, ~Copyable {}

extension ValueSink where Self: ~Copyable {
    package var isPaused: Bool { false }
    package mutating func auxiliaryField(name: RawSpan, value: RawSpan) {}
    package mutating func stringEntry(_ head: EntryHead, key: RawSpan, value: RawSpan) {}
    package mutating func entry(_ head: EntryHead, key: RawSpan, body: RawSpan) {}
    package mutating func valueBegan(_ head: EntryHead, key: RawSpan, stream: ChunkStreamID) {}
    package mutating func command(_ command: JournalCommand, database: UInt32, inSnapshot: Bool) {}
    package mutating func journalPing(inSnapshot: Bool) {}
    package mutating func journalLSN(_ lsn: UInt64) {}
    package mutating func snapshotCompleted() {}
    package mutating func journalOffset(_ lsn: UInt64) {}
    package mutating func stableStreamBegan() {}
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
