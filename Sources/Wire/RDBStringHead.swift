/// The head of an RDB string: what follows it and how long it is.
package enum RDBStringHead: Equatable, Sendable {
    /// `count` bytes follow, as they are.
    case raw(count: Int)
    /// The string is the decimal text of the number; nothing follows.
    case integer(Int64)
    /// `count` bytes of LZF follow that hold `uncompressedCount` bytes.
    case compressed(count: Int, uncompressedCount: Int)
}

/// RDB lengths and strings.
///
/// ```
/// length   packed integer (PackedInteger.swift)
/// string   length, then that many bytes
///          C0 i8  |  C1 i16  |  C2 i32     little endian; the string is the number's decimal text
///          C3  length of the LZF bytes  length of the text  LZF bytes
/// ```
/// Source: Protocol 3.3.
extension ByteReader {
    /// Reads the next length where a string encoding is not allowed.
    ///
    /// - Throws: `unsupported` for a special encoding and for any other unknown first byte.
    /// - Returns: `nil`, without moving, when bytes are missing.
    package mutating func readLength() throws(WireError) -> UInt64? {
        try readPacked("first byte of a length")
    }

    /// Reads the next length as the number of things that follow.
    ///
    /// - Throws: `tooLarge` with the name `what` for more than `limit`.
    /// - Returns: `nil`, without moving, when bytes are missing.
    package mutating func readCount(_ what: StaticText, limit: UInt64 = 1 << 32) throws(WireError) -> Int? {
        let start = offset
        guard let value = try readLength() else { return nil }
        guard value <= limit, let count = Int(exactly: value) else {
            throw .tooLarge(what, value: value, limit: limit, offset: start)
        }
        return count
    }

    /// Moves over a string's head: to its first body byte, or past an integer.
    ///
    /// - Throws: `unsupported` for an unknown encoding, `tooLarge` above `Limits.stringBytes`.
    /// - Returns: `nil`, without moving, when bytes are missing.
    package mutating func readStringHead() throws(WireError) -> RDBStringHead? {
        guard let first = peekUInt8() else { return nil }
        let limit = UInt64(Limits.stringBytes)
        guard first >= 0xC0 else {
            return try readCount("string length", limit: limit).map { .raw(count: $0) }
        }
        let start = offset
        _ = skip(1)
        let head: RDBStringHead?
        switch first {
        case 0xC0: head = readLittleEndian(Int8.self).map { .integer(Int64($0)) }
        case 0xC1: head = readLittleEndian(Int16.self).map { .integer(Int64($0)) }
        case 0xC2: head = readLittleEndian(Int32.self).map { .integer(Int64($0)) }
        case 0xC3:
            if let count = try readCount("compressed string length", limit: limit),
                let uncompressedCount = try readCount("string length", limit: limit)
            {
                head = .compressed(count: count, uncompressedCount: uncompressedCount)
            } else {
                head = nil
            }
        default: throw .unsupported("string encoding", code: UInt64(first & 0x3F), offset: start)
        }
        if head == nil { rewind(to: start) }
        return head
    }

    /// Moves over a whole string without decoding it.
    ///
    /// - Returns: false, without moving, when it is not all there.
    package mutating func skipString() throws(WireError) -> Bool {
        let start = offset
        let isWhole =
            switch try readStringHead() {
            case nil: false
            case .integer: true
            case .raw(let count), .compressed(let count, _): skip(count)
            }
        if !isWhole { rewind(to: start) }
        return isWhole
    }

    /// Appends the next string to `buffer`, decoded.
    ///
    /// - Returns: false, without moving or appending, when it is not all there.
    package mutating func readString(into buffer: inout ByteBuffer) throws(WireError) -> Bool {
        let start = offset
        switch try readStringHead() {
        case nil: return false
        case .integer(let value):
            buffer.append(decimal: value)
            return true
        case .raw(let count):
            if let body = readSpan(count) {
                buffer.append(body)
                return true
            }
        case .compressed(let count, let uncompressedCount):
            let bodyOffset = offset
            if let body = readSpan(count) {
                do throws(WireError) {
                    try LZF.decompress(body, uncompressedCount: uncompressedCount, into: &buffer)
                } catch {
                    throw error.shifted(by: bodyOffset)
                }
                return true
            }
        }
        rewind(to: start)
        return false
    }

    /// Hands the next string to `body`: a raw string as a view of the bytes read from, any other string decoded in
    /// `scratch`, whose previous contents are lost.
    ///
    /// - Returns: false, without moving or calling `body`, when the string is not all there.
    package mutating func readInlineString(
        scratch: inout ByteBuffer, _ body: (RawSpan) throws(WireError) -> Void
    ) throws(WireError) -> Bool {
        let start = offset
        if let first = peekUInt8(), first < 0xC0 {
            guard case .raw(let count) = try readStringHead() else { return false }
            guard let span = readSpan(count) else {
                rewind(to: start)
                return false
            }
            try body(span)
            return true
        }
        scratch.removeAll()
        guard try readString(into: &scratch) else { return false }
        try body(scratch.bytes)
        return true
    }
}
