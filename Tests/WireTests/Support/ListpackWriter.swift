@testable import Wire

/// Builds listpacks one after the other.
struct ListpackWriter: ~Copyable {
    private var elements = ByteBuffer()
    /// Elements appended since the last `finish`.
    private(set) var count = 0

    init() {}

    /// Bytes that `finish` appends.
    var byteCount: Int { ListpackReader.headBytes + elements.count + 1 }

    /// Appends `bytes` as a string, digits too.
    mutating func append(string bytes: RawSpan) {
        let length = bytes.byteCount
        let before = elements.count
        if length < 64 {
            elements.append(0x80 | UInt8(length))
        } else if length < 4096 {
            elements.append(littleEndian: (0xE000 | UInt16(length)).bigEndian)
        } else {
            elements.append(0xF0)
            elements.append(littleEndian: UInt32(length))
        }
        elements.append(bytes)
        appendBacklen(elements.count - before)
    }

    mutating func append(string text: String) {
        let bytes = Array(text.utf8)
        append(string: bytes.span.bytes)
    }

    mutating func append(integer value: Int64) {
        let before = elements.count
        if value >= 0, value < 128 {
            elements.append(UInt8(value))
        } else if value >= -4096, value < 4096 {
            let bits = UInt16(truncatingIfNeeded: value) & 0x1FFF
            elements.append(littleEndian: (0xC000 | bits).bigEndian)
        } else if let short = Int16(exactly: value) {
            elements.append(0xF1)
            elements.append(littleEndian: short)
        } else if value >= -(1 << 23), value < 1 << 23 {
            elements.append(0xF2)
            elements.append(littleEndian: UInt16(truncatingIfNeeded: value))
            elements.append(UInt8(truncatingIfNeeded: value >> 16))
        } else if let word = Int32(exactly: value) {
            elements.append(0xF3)
            elements.append(littleEndian: word)
        } else {
            elements.append(0xF4)
            elements.append(littleEndian: value)
        }
        appendBacklen(elements.count - before)
    }

    /// Appends `bytes` as servers do: as an integer when they are the canonical text of one.
    mutating func append(canonical bytes: RawSpan) {
        if let value = bytes.canonicalInteger { append(integer: value) } else { append(string: bytes) }
    }

    /// Appends the listpack to `buffer` and starts over, empty.
    mutating func finish(into buffer: inout ByteBuffer) {
        buffer.append(littleEndian: UInt32(byteCount))
        buffer.append(littleEndian: UInt16(exactly: count) ?? ListpackReader.unknownCount)
        buffer.append(elements.bytes)
        buffer.append(0xFF)
        elements.removeAll()
        count = 0
    }

    private mutating func appendBacklen(_ size: Int) {
        let bytes = ListpackReader.backlenBytes(size)
        for index in 0..<bytes {
            let group = UInt8(truncatingIfNeeded: size >> (7 * (bytes - 1 - index))) & 0x7F
            elements.append(index == 0 ? group : group | 0x80)
        }
        count += 1
    }
}
