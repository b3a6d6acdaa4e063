/// One element of a listpack or a ziplist. An integer means its decimal text.
package enum ListpackElement: ~Escapable {
    case integer(Int64)
    case string(RawSpan)
}

extension ListpackElement {
    /// Appends the element's text.
    package func append(to buffer: inout ByteBuffer) {
        switch self {
        case .integer(let value): buffer.append(decimal: value)
        case .string(let bytes): buffer.append(bytes)
        }
    }

    /// Appends the element's text as an argument of a command.
    package func appendBulk(to buffer: inout ByteBuffer) {
        switch self {
        case .integer(let value): buffer.appendBulk(decimal: value)
        case .string(let bytes): buffer.appendBulk(bytes)
        }
    }
}

/// Reads the elements of one listpack, as views of its bytes.
///
/// ```
/// u32 LE all bytes │ u16 LE count, 65535 = unknown │ elements … │ FF
/// element: encoding byte(s), value, backlen
/// ```
/// | first byte | element | bytes |
/// |---|---|---|
/// | `0xxxxxxx` | unsigned 7-bit integer | 1 |
/// | `10xxxxxx` | string of that length | 1 + n |
/// | `110xxxxx` + 1 | signed 13-bit integer, big endian | 2 |
/// | `1110xxxx` + 1 | string, 12-bit length, big endian | 2 + n |
/// | F0 + u32 LE | string | 5 + n |
/// | F1, F2, F3, F4 | i16, i24, i32, i64, little endian | 3, 4, 5, 9 |
///
/// The backlen is that number of bytes again, 7 bits a byte, most significant first, the high bit set in all but its first
/// byte. Source: Protocol 3.7.1. Error offsets count from the start of the listpack.
package struct ListpackReader: ~Escapable {
    private let bytes: RawSpan
    /// The next element, or the closing FF: `6 ... bytes.byteCount - 1`.
    private(set) var offset = 6
    /// The number of elements before `offset`.
    private var count = 0

    static let headBytes = 6
    /// The value of the count field if the number of elements does not fit into it.
    static let unknownCount: UInt16 = 0xFFFF

    /// - Throws: `malformed` unless `bytes` is one listpack, by its own length and end mark.
    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan) throws(WireError) {
        guard bytes.byteCount >= Self.headBytes + 1 else { throw .malformed("truncated listpack", offset: 0) }
        guard Int(bytes.littleEndian(UInt32.self, at: 0)) == bytes.byteCount else {
            throw .malformed("listpack of another length than its head says", offset: 0)
        }
        guard bytes.byte(at: bytes.byteCount - 1) == 0xFF else {
            throw .malformed("listpack without its end mark", offset: bytes.byteCount - 1)
        }
        self.bytes = bytes
    }

    /// The number of elements according to the head; `nil` if only a walk can determine it.
    package var declaredCount: Int? {
        let count = bytes.littleEndian(UInt16.self, at: 4)
        return count == Self.unknownCount ? nil : Int(count)
    }

    /// True after the last element.
    package var isAtEnd: Bool { offset == bytes.byteCount - 1 }

    /// The next element; `nil` after the last.
    ///
    /// - Throws: `unsupported` for an unknown encoding, `malformed` for an element that does not end in its backlen and
    ///   for another number of elements than the head says.
    @_lifetime(copy self)
    package mutating func next() throws(WireError) -> ListpackElement? {
        guard !isAtEnd else {
            try checkCount()
            return nil
        }
        let start = offset
        let size = try advance()
        let first = bytes.byte(at: start)
        switch first {
        case 0..<0x80: return .integer(Int64(first))
        case 0x80..<0xC0: return .string(bytes.extracting((start + 1)..<(start + size)))
        case 0xC0..<0xE0:
            let value = Int64(first & 0x1F) << 8 | Int64(bytes.byte(at: start + 1))
            return .integer(value < 4096 ? value : value - 8192)
        case 0xE0..<0xF0: return .string(bytes.extracting((start + 2)..<(start + size)))
        case 0xF0: return .string(bytes.extracting((start + 5)..<(start + size)))
        case 0xF1: return .integer(Int64(bytes.littleEndian(Int16.self, at: start + 1)))
        case 0xF2: return .integer(bytes.littleEndianInt24(at: start + 1))
        case 0xF3: return .integer(Int64(bytes.littleEndian(Int32.self, at: start + 1)))
        default: return .integer(bytes.littleEndian(Int64.self, at: start + 1))
        }
    }

    /// Moves over the next element, if there is one.
    ///
    /// - Returns: false after the last.
    /// - Throws: as `next`.
    package mutating func skip() throws(WireError) -> Bool {
        guard !isAtEnd else {
            try checkCount()
            return false
        }
        _ = try advance()
        return true
    }

    /// Checks a listpack to its last byte before it is passed on unchanged.
    ///
    /// - Returns: the number of elements.
    /// - Throws: as `init` and `next`.
    package static func validate(_ bytes: RawSpan) throws(WireError) -> Int {
        var reader = try ListpackReader(bytes)
        while !reader.isAtEnd { _ = try reader.advance() }
        try reader.checkCount()
        return reader.count
    }

    private func checkCount() throws(WireError) {
        guard let declared = declaredCount, declared != count else { return }
        throw .malformed("listpack with another number of elements than its head says", offset: 4)
    }

    /// Moves over the element at `offset`, which is not the end.
    ///
    /// - Returns: its size without the backlen.
    @inline(__always)
    private mutating func advance() throws(WireError) -> Int {
        let start = offset
        let first = bytes.byte(at: start)
        let room = bytes.byteCount - 1 - start
        let size: Int
        if first < 0x80 {
            size = 1
        } else if first < 0xC0 {
            size = 1 + Int(first & 0x3F)
        } else {
            size = try longSize(first, room: room)
        }
        guard size < room else { throw .malformed("truncated listpack element", offset: start) }
        if size < 0x80 {
            guard bytes.byte(at: start + size) == UInt8(truncatingIfNeeded: size) else { throw wrongBacklen }
            offset = start + size + 1
        } else {
            let backlen = ListpackReader.backlenBytes(size)
            guard backlen <= room - size else { throw .malformed("truncated listpack element", offset: start) }
            for index in 0..<backlen {
                let group = UInt8(truncatingIfNeeded: size >> (7 * (backlen - 1 - index))) & 0x7F
                guard bytes.byte(at: start + size + index) == (index == 0 ? group : group | 0x80) else {
                    throw wrongBacklen
                }
            }
            offset = start + size + backlen
        }
        count += 1
        return size
    }

    private var wrongBacklen: WireError { .malformed("listpack element with a wrong backlen", offset: offset) }

    /// The size of an element whose first byte is C0 or above.
    private func longSize(_ first: UInt8, room: Int) throws(WireError) -> Int {
        switch first {
        case 0xC0..<0xE0: return 2
        case 0xE0..<0xF0:
            guard room >= 2 else { throw .malformed("truncated listpack element", offset: offset) }
            return 2 + (Int(first & 0x0F) << 8 | Int(bytes.byte(at: offset + 1)))
        case 0xF0:
            guard room >= 5 else { throw .malformed("truncated listpack element", offset: offset) }
            return 5 + Int(bytes.littleEndian(UInt32.self, at: offset + 1))
        case 0xF1: return 3
        case 0xF2: return 4
        case 0xF3: return 5
        case 0xF4: return 9
        case 0xFF: throw .malformed("listpack end mark before its end", offset: offset)
        default: throw .unsupported("listpack encoding", code: UInt64(first), offset: offset)
        }
    }

    /// The size of the backlen of an element of `size` bytes. The bounds are one below what 7 bits a byte could hold,
    /// because Redis writes them this way.
    static func backlenBytes(_ size: Int) -> Int {
        size <= 127 ? 1 : size < 16383 ? 2 : size < 2_097_151 ? 3 : size < 268_435_455 ? 4 : 5
    }
}
