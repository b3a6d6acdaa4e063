/// RESP2 requests: arrays of bulk strings.
///
/// ```
/// *<argument count>\r\n  then for each argument:  $<byte count>\r\n<bytes>\r\n
/// ```
/// Source: Redis serialization protocol specification, "Sending commands to a Redis server".
extension ByteBuffer {
    /// Begins a command of `argumentCount` arguments, its name included.
    package mutating func appendCommandHead(_ argumentCount: Int) {
        append(UInt8(ascii: "*"))
        append(decimal: Int64(argumentCount))
        appendLineEnd()
    }

    /// Begins an argument of `byteCount` bytes: they and `appendLineEnd()` must follow.
    package mutating func appendBulkHead(_ byteCount: Int) {
        append(UInt8(ascii: "$"))
        append(decimal: Int64(byteCount))
        appendLineEnd()
    }

    package mutating func appendLineEnd() {
        append(littleEndian: UInt16(0x0A0D))
    }

    package mutating func appendBulk(_ bytes: RawSpan) {
        reserve(bytes.byteCount + 32)
        appendBulkHead(bytes.byteCount)
        append(bytes)
        appendLineEnd()
    }

    package mutating func appendBulk(_ text: StaticString) {
        appendBulkHead(text.utf8CodeUnitCount)
        append(text)
        appendLineEnd()
    }

    package mutating func appendBulk(utf8 text: String) {
        var text = text
        text.withUTF8 { bytes in
            appendBulkHead(bytes.count)
            append(UnsafeRawBufferPointer(bytes))
        }
        appendLineEnd()
    }

    /// The decimal text of `value` as an argument.
    package mutating func appendBulk(decimal value: Int64) {
        var digits = value < 0 ? 2 : 1
        var rest = value.magnitude
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        appendBulkHead(digits)
        append(decimal: value)
        appendLineEnd()
    }

    /// The shortest decimal text that gives `value` back to the last bit; `inf` and `-inf` as Redis spells them.
    package mutating func appendBulk(score value: Double) {
        appendBulk(utf8: value.description)
    }
}

/// Arguments that a class keeps: their spans could not outlive the access to the property.
extension ByteBuffer {
    package mutating func appendBulk(_ bytes: [UInt8]) { appendBulk(bytes.span.bytes) }

    package mutating func appendBulk(contentsOf other: borrowing ByteBuffer) { appendBulk(other.bytes) }

    package mutating func append(contentsOf other: borrowing ByteBuffer) { append(other.bytes) }
}
