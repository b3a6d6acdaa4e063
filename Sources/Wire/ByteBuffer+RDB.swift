/// RDB lengths and strings as a master writes them: for the simulator, the tests and DUMP payloads.
extension ByteBuffer {
    package mutating func append(rdbLength value: UInt64) { append(packed: value) }

    package mutating func append(rdbLength value: Int) { append(packed: UInt64(value)) }

    /// Appends `bytes` as a raw string.
    package mutating func append(rdbString bytes: RawSpan) {
        append(rdbLength: bytes.byteCount)
        append(bytes)
    }

    /// Appends `bytes` as Dragonfly does: a number when they are the canonical decimal text of an `Int32`, else raw.
    package mutating func append(rdbCanonicalString bytes: RawSpan) {
        guard bytes.byteCount <= 11, let value = bytes.canonicalInteger, let short = Int32(exactly: value) else {
            return append(rdbString: bytes)
        }
        if let byte = Int8(exactly: short) {
            append(0xC0)
            append(littleEndian: byte)
        } else if let word = Int16(exactly: short) {
            append(0xC1)
            append(littleEndian: word)
        } else {
            append(0xC2)
            append(littleEndian: short)
        }
    }
}

extension RawSpan {
    /// The number if these bytes are its canonical decimal text: no sign except `-`, no leading zero, no `-0`. `nil` for any
    /// other text, and for a number that an `Int64` cannot hold.
    package var canonicalInteger: Int64? {
        let isNegative = byteCount > 0 && byte(at: 0) == UInt8(ascii: "-")
        let first = isNegative ? 1 : 0
        guard first < byteCount, byteCount - first <= 19 else { return nil }
        if byte(at: first) == UInt8(ascii: "0") { return byteCount == 1 ? 0 : nil }
        var magnitude: UInt64 = 0  // 19 digits fit
        for offset in first..<byteCount {
            let digit = byte(at: offset) &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            magnitude = magnitude * 10 + UInt64(digit)
        }
        if isNegative { return magnitude <= Int64.min.magnitude ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil }
        return Int64(exactly: magnitude)
    }
}
