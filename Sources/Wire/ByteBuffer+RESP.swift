/// RESP2 requests: arrays of bulk strings.
///
/// ```
/// *<argument count>\r\n  then for each argument:  $<byte count>\r\n<bytes>\r\n
/// ```
/// Source: Redis serialization protocol specification, "Sending commands to a Redis server".
extension ByteBuffer {
    /// Begins a command of `argumentCount` arguments, its name included.
    @usableFromInline package mutating func appendCommandHead(_ argumentCount: Int) {
        appendHead(UInt8(ascii: "*"), argumentCount)
    }

    /// Begins a command whose arguments are counted while they are appended.
    ///
    /// - Returns: the place of its head, for `endCommand`.
    @usableFromInline package mutating func beginCommand() -> Int {
        let place = count
        appendCommandHead(0)
        return place
    }

    /// Writes the number of arguments into the head at `place`. The head has room for one digit; if the number has more
    /// digits, the arguments are moved.
    @usableFromInline package mutating func endCommand(at place: Int, argumentCount: Int) {
        var digits = 1
        var limit = 10
        while argumentCount >= limit {
            digits += 1
            limit *= 10
        }
        if digits > 1 { makeRoom(digits - 1, at: place + 2) }
        var rest = argumentCount
        for digit in stride(from: digits, to: 0, by: -1) {
            overwrite(UInt8(ascii: "0") + UInt8(rest % 10), at: place + digit)
            rest /= 10
        }
    }

    /// Appends `SET key value`.
    package mutating func appendSet(_ key: RawSpan, _ value: RawSpan) {
        append("*3\r\n$3\r\nSET\r\n")
        appendBulk(key)
        appendBulk(value)
    }

    /// Appends a pair to the `SET` or `MSET` at `place`, which becomes an `MSET` of `pairs` pairs.
    package mutating func appendPair(_ key: RawSpan, _ value: RawSpan, toRunAt place: Int, pairs: Int) {
        appendBulk(key)
        appendBulk(value)
        makeRun(at: place, pairs: pairs)
    }

    /// Turns the head at `place`, of a `SET` or of an `MSET` with one pair less, into that of an `MSET` of `pairs` pairs.
    package mutating func makeRun(at place: Int, pairs: Int) {
        let count = 2 * pairs + 1
        if pairs == 2 {
            makeRoom(1, at: place + 4)
            overwrite("*5\r\n$4\r\nMSET\r\n", at: place)
        } else if count < 10 {
            overwrite(UInt8(ascii: "0") + UInt8(count), at: place + 1)
        } else {
            let digits = count < 100 ? 2 : 3
            // The number has one digit more than it had with one pair less.
            if count == 11 || count == 101 { makeRoom(1, at: place + 2) }
            var rest = count
            for digit in stride(from: digits, to: 0, by: -1) {
                overwrite(UInt8(ascii: "0") + UInt8(rest % 10), at: place + digit)
                rest /= 10
            }
        }
    }

    /// Begins an argument of `byteCount` bytes: they and `appendLineEnd()` must follow.
    @usableFromInline package mutating func appendBulkHead(_ byteCount: Int) {
        appendHead(UInt8(ascii: "$"), byteCount)
    }

    @usableFromInline package mutating func appendLineEnd() {
        append(littleEndian: UInt16(0x0A0D))
    }

    @usableFromInline package mutating func appendBulk(_ text: StaticString) {
        appendBulkHead(text.utf8CodeUnitCount)
        append(text)
        appendLineEnd()
    }

    @usableFromInline package mutating func appendBulk(utf8 text: String) {
        var text = text
        text.withUTF8 { bytes in
            appendBulkHead(bytes.count)
            append(UnsafeRawBufferPointer(bytes))
        }
        appendLineEnd()
    }

    /// Appends the decimal text of `value` as an argument.
    @usableFromInline package mutating func appendBulk(decimal value: Int64) {
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

    /// Appends the shortest decimal text that gives `value` back to the last bit; `inf` and `-inf` are spelled as in Redis.
    @usableFromInline package mutating func appendBulk(score value: Double) {
        appendBulk(utf8: value.description)
    }
}

/// Overloads for arguments in a class's properties, whose spans could not outlive the access to the property.
extension ByteBuffer {
    @usableFromInline package mutating func appendBulk(_ bytes: [UInt8]) { appendBulk(bytes.span.bytes) }

    @usableFromInline package mutating func appendBulk(contentsOf other: borrowing ByteBuffer) {
        appendBulk(other.bytes)
    }

    @usableFromInline package mutating func append(contentsOf other: borrowing ByteBuffer) { append(other.bytes) }
}
