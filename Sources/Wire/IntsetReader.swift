/// Reads the numbers of one intset.
///
/// ```
/// u32 LE width: 2, 4 or 8 │ u32 LE count │ count × signed LE integers of that width, ascending
/// ```
/// Source: Protocol 3.7.3. Error offsets count from the start of the intset.
package struct IntsetReader: ~Escapable {
    private let bytes: RawSpan
    private let width: Int
    /// The number of integers.
    package let count: Int
    private var offset = Self.headBytes

    private static let headBytes = 8

    /// - Throws: `malformed` unless the length of `bytes` matches width and count.
    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan) throws(WireError) {
        guard bytes.byteCount >= Self.headBytes else { throw .malformed("truncated intset", offset: 0) }
        let width = bytes.littleEndian(UInt32.self, at: 0)
        guard width == 2 || width == 4 || width == 8 else {
            throw .unsupported("width of an intset", code: UInt64(width), offset: 0)
        }
        count = Int(bytes.littleEndian(UInt32.self, at: 4))
        self.width = Int(width)
        guard count * self.width == bytes.byteCount - Self.headBytes else {
            throw .malformed("intset of another length than its head says", offset: 4)
        }
        self.bytes = bytes
    }

    /// The next number; `nil` after the last.
    package mutating func next() -> Int64? {
        guard offset < bytes.byteCount else { return nil }
        defer { offset += width }
        switch width {
        case 2: return Int64(bytes.littleEndian(Int16.self, at: offset))
        case 4: return Int64(bytes.littleEndian(Int32.self, at: offset))
        default: return bytes.littleEndian(Int64.self, at: offset)
        }
    }

    /// Checks an intset before it is passed on unchanged: its numbers must ascend.
    ///
    /// - Returns: the number of integers.
    /// - Throws: as `init`, and `malformed` for numbers that are out of order or repeated.
    package static func validate(_ bytes: RawSpan) throws(WireError) -> Int {
        var reader = try IntsetReader(bytes)
        var before: Int64?
        while let value = reader.next() {
            if let before, before >= value {
                throw .malformed("intset out of order", offset: reader.offset - reader.width)
            }
            before = value
        }
        return reader.count
    }
}
