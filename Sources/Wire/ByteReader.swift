/// A cursor over bytes that somebody else keeps alive.
///
/// `readX` moves the cursor, or returns `nil` without moving it if bytes are missing. Every read is checked once: `n >= 0 &&
/// n <= count - offset`. The offset is only increased after this check.
package struct ByteReader: ~Escapable {
    /// All bytes, including those before the cursor.
    package let bytes: RawSpan
    /// The next byte to read: `0 ... bytes.byteCount`.
    package private(set) var offset: Int

    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan, offset: Int = 0) {
        precondition(offset >= 0 && offset <= bytes.byteCount, "the cursor starts within its bytes")
        self.bytes = bytes
        self.offset = offset
    }

    /// Bytes that are left to read.
    package var remaining: Int { bytes.byteCount - offset }

    /// Moves the cursor back to `offset`, where it has been before, because the end of a unit has not arrived yet.
    package mutating func rewind(to offset: Int) {
        precondition(offset >= 0 && offset <= self.offset, "a cursor rewinds to where it has been")
        self.offset = offset
    }

    /// The next byte, without moving the cursor.
    package func peekUInt8() -> UInt8? {
        guard remaining >= 1 else { return nil }
        return bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    package mutating func readUInt8() -> UInt8? {
        guard remaining >= 1 else { return nil }
        defer { offset += 1 }
        return bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// A fixed-width integer in little-endian order.
    package mutating func readLittleEndian<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> T? {
        guard remaining >= MemoryLayout<T>.size else { return nil }
        defer { offset += MemoryLayout<T>.size }
        return T(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// A fixed-width integer in big-endian order.
    package mutating func readBigEndian<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> T? {
        guard remaining >= MemoryLayout<T>.size else { return nil }
        defer { offset += MemoryLayout<T>.size }
        return T(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// An IEEE 754 double in little-endian order.
    package mutating func readDouble() -> Double? {
        guard let bits = readLittleEndian(UInt64.self) else { return nil }
        return Double(bitPattern: bits)
    }

    /// The next `count` bytes, as a view.
    @_lifetime(copy self)
    package mutating func readSpan(_ count: Int) -> RawSpan? {
        guard count >= 0, count <= remaining else { return nil }
        let span = bytes.extracting(offset..<(offset + count))
        offset += count
        return span
    }

    /// Moves over `count` bytes. Returns `false`, without moving, if they have not all arrived.
    package mutating func skip(_ count: Int) -> Bool {
        guard count >= 0, count <= remaining else { return false }
        offset += count
        return true
    }
}
