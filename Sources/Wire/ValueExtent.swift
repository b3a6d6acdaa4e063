/// Finds the end of a value of many elements, over a window that grows until it holds the value whole.
///
/// Values of the types that nearly all keys have are walked over string by string, without looking inside. Values of the
/// rare types are decoded, and the result is discarded.
struct ValueExtent: ~Copyable {
    private let type: RDBType
    /// The number of elements that have not been walked over; `nil` before their number is known.
    private var elementsLeft: UInt64?
    /// The number of bytes of the value that have been walked over.
    private var byteCount = 0
    private var decoder: ValueDecoder?

    init(type: RDBType) {
        self.type = type
        switch type {
        case .set, .hash, .zset, .list: break
        default: decoder = ValueDecoder(type: type)
        }
    }

    /// Continues with the value that begins at `start` of `window`.
    ///
    /// - Returns: the offset after the value; `nil` if it is not complete in `window`.
    mutating func advance(through window: RawSpan, from start: Int) throws(WireError) -> Int? {
        var reader = ByteReader(window, offset: start + byteCount)
        let isComplete: Bool
        if decoder != nil {
            var nowhere = DiscardingSink()
            isComplete = try decoder?.resume(&reader, into: &nowhere) ?? true
        } else {
            isComplete = try walk(&reader)
        }
        byteCount = reader.offset - start
        return isComplete ? reader.offset : nil
    }

    private mutating func walk(_ reader: inout ByteReader) throws(WireError) -> Bool {
        if elementsLeft == nil { elementsLeft = try reader.readLength() }
        guard var left = elementsLeft else { return false }
        defer { elementsLeft = left }
        while left > 0 {
            let element = reader.offset
            guard try skipElement(&reader) else {
                reader.rewind(to: element)
                return false
            }
            left -= 1
        }
        return true
    }

    private func skipElement(_ reader: inout ByteReader) throws(WireError) -> Bool {
        if type == .list, try reader.readListContainer() == nil { return false }
        guard try reader.skipString() else { return false }
        switch type {
        case .hash: return try reader.skipString()
        case .zset: return reader.skip(8)
        default: return true
        }
    }
}

/// Whether a whole value of `type`, as it is in a snapshot, is a stream with consumer groups.
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

extension RawSpan {
    /// The byte at `offset`, checked.
    package subscript(offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }
}
