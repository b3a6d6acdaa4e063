/// Unsigned integers of 1, 2, 5 or 9 bytes: the journal's integers and the lengths of RDB strings.
///
/// | first byte | value |
/// |---|---|
/// | `00xxxxxx` | 6 bits |
/// | `01xxxxxx` + 1 byte | 14 bits, big endian |
/// | `80` + 4 bytes | u32, big endian |
/// | `81` + 8 bytes | u64, big endian |
///
/// Source: Protocol 3.3 and 4.1. A value in a longer form than it needs is accepted.
extension ByteReader {
    /// The next integer of a journal.
    ///
    /// - Throws: `unsupported` for any other first byte, `11xxxxxx` included.
    /// - Returns: `nil`, without moving, when bytes are missing.
    package mutating func readPackedInteger() throws(WireError) -> UInt64? {
        try readPacked("first byte of a packed integer")
    }

    /// The next integer; `what` names its first byte in the error.
    @inline(__always)
    mutating func readPacked(_ what: StaticText) throws(WireError) -> UInt64? {
        guard let first = peekUInt8() else { return nil }
        switch first {
        case 0..<0x40:
            _ = skip(1)
            return UInt64(first)
        case 0x40..<0x80:
            guard let value = readBigEndian(UInt16.self) else { return nil }
            return UInt64(value & 0x3FFF)
        case 0x80:
            guard remaining >= 5, skip(1), let value = readBigEndian(UInt32.self) else { return nil }
            return UInt64(value)
        case 0x81:
            guard remaining >= 9, skip(1) else { return nil }
            return readBigEndian(UInt64.self)
        default:
            throw .unsupported(what, code: UInt64(first), offset: offset)
        }
    }
}

extension ByteBuffer {
    /// Appends `value` in its shortest packed form.
    package mutating func append(packed value: UInt64) {
        if value < 0x40 {
            append(UInt8(value))
        } else if value < 0x4000 {
            append(littleEndian: (0x4000 | UInt16(value)).bigEndian)
        } else if let short = UInt32(exactly: value) {
            append(0x80)
            append(littleEndian: short.bigEndian)
        } else {
            append(0x81)
            append(littleEndian: value.bigEndian)
        }
    }
}
