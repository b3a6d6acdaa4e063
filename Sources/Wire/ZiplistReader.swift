/// Reads the elements of one ziplist, as views of its bytes: what masters before v1.31 send instead of listpacks.
///
/// ```
/// u32 LE all bytes │ u32 LE offset of the last element │ u16 LE count, 65535 = unknown │ elements … │ FF
/// element: bytes of the element before it (1 byte, or FE and u32 LE), encoding, value
/// ```
/// | encoding | element | bytes |
/// |---|---|---|
/// | `00xxxxxx` | string of that length | 1 + n |
/// | `01xxxxxx` + 1 | string, 14-bit length, big endian | 2 + n |
/// | 80 + u32 BE | string | 5 + n |
/// | C0, D0, E0, F0, FE | i16, i32, i64, i24, i8, little endian | 3, 5, 9, 4, 2 |
/// | F1 … FD | 0 … 12 | 1 |
///
/// Source: Protocol 3.7.2. Error offsets count from the start of the ziplist.
package struct ZiplistReader: ~Escapable {
    private let bytes: RawSpan
    private var offset = Self.headBytes
    /// The start of the element before `offset`; the end of the list's head if there is none.
    private var last = Self.headBytes
    private var count = 0

    private static let headBytes = 10

    /// - Throws: `malformed` unless `bytes` is one ziplist, by its own length and end mark.
    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan) throws(WireError) {
        guard bytes.byteCount >= Self.headBytes + 1 else { throw .malformed("truncated ziplist", offset: 0) }
        guard Int(bytes.littleEndian(UInt32.self, at: 0)) == bytes.byteCount else {
            throw .malformed("ziplist of another length than its head says", offset: 0)
        }
        guard bytes.byte(at: bytes.byteCount - 1) == 0xFF else {
            throw .malformed("ziplist without its end mark", offset: bytes.byteCount - 1)
        }
        self.bytes = bytes
    }

    /// The number of elements according to the head; `nil` if only a walk can determine it.
    package var declaredCount: Int? {
        let count = bytes.littleEndian(UInt16.self, at: 8)
        return count == 0xFFFF ? nil : Int(count)
    }

    /// The next element; `nil` after the last.
    ///
    /// - Throws: `unsupported` for an unknown encoding, `malformed` for an element that is cut off or states a wrong length
    ///   of the element before it, for a wrong offset of the last element, and for another number of elements than the head
    ///   says.
    @_lifetime(copy self)
    package mutating func next() throws(WireError) -> ListpackElement? {
        let end = bytes.byteCount - 1
        guard offset < end else {
            try checkEnd()
            return nil
        }
        let start = offset
        let place = try encodingPlace()
        let encoding = bytes.byte(at: place)
        let room = end - place
        let size: Int
        let head: Int  // of a string
        switch encoding {
        case 0..<0x40: (head, size) = (1, 1 + Int(encoding))
        case 0x40..<0x80:
            guard room >= 2 else { throw truncated }
            (head, size) = (2, 2 + (Int(encoding & 0x3F) << 8 | Int(bytes.byte(at: place + 1))))
        case 0x80:
            guard room >= 5 else { throw truncated }
            (head, size) = (5, 5 + Int(bytes.littleEndian(UInt32.self, at: place + 1).byteSwapped))
        case 0xC0: (head, size) = (0, 3)
        case 0xD0: (head, size) = (0, 5)
        case 0xE0: (head, size) = (0, 9)
        case 0xF0: (head, size) = (0, 4)
        case 0xFE: (head, size) = (0, 2)
        case 0xF1...0xFD: (head, size) = (0, 1)
        case 0xFF: throw .malformed("ziplist end mark before its end", offset: start)
        default: throw .unsupported("ziplist encoding", code: UInt64(encoding), offset: start)
        }
        guard size <= room else { throw truncated }
        last = start
        offset = place + size
        count += 1
        if head > 0 { return .string(bytes.extracting((place + head)..<(place + size))) }
        switch encoding {
        case 0xC0: return .integer(Int64(bytes.littleEndian(Int16.self, at: place + 1)))
        case 0xD0: return .integer(Int64(bytes.littleEndian(Int32.self, at: place + 1)))
        case 0xE0: return .integer(bytes.littleEndian(Int64.self, at: place + 1))
        case 0xF0: return .integer(bytes.littleEndianInt24(at: place + 1))
        case 0xFE: return .integer(Int64(bytes.littleEndian(Int8.self, at: place + 1)))
        default: return .integer(Int64(encoding & 0x0F) - 1)
        }
    }

    /// Checks a ziplist to its last byte.
    ///
    /// - Returns: the number of elements.
    /// - Throws: as `init` and `next`.
    package static func validate(_ bytes: RawSpan) throws(WireError) -> Int {
        var reader = try ZiplistReader(bytes)
        while try reader.next() != nil {}
        return reader.count
    }

    /// The offset of the encoding of the element at `offset`, after the length of the element before it.
    private func encodingPlace() throws(WireError) -> Int {
        let room = bytes.byteCount - 1 - offset
        let first = bytes.byte(at: offset)
        guard first != 0xFF else { throw .malformed("ziplist end mark before its end", offset: offset) }
        let isLong = first == 0xFE
        guard room > (isLong ? 5 : 1) else { throw truncated }
        let told = isLong ? Int(bytes.littleEndian(UInt32.self, at: offset + 1)) : Int(first)
        guard told == offset - last else {
            throw .malformed("ziplist element with a wrong length of the one before it", offset: offset)
        }
        return offset + (isLong ? 5 : 1)
    }

    private var truncated: WireError { .malformed("truncated ziplist element", offset: offset) }

    private func checkEnd() throws(WireError) {
        guard Int(bytes.littleEndian(UInt32.self, at: 4)) == last else {
            throw .malformed("ziplist with a wrong offset of its last element", offset: 4)
        }
        if let declared = declaredCount, declared != count {
            throw .malformed("ziplist with another number of elements than its head says", offset: 8)
        }
    }
}
