/// The first line of a reply.
///
/// | line | reply |
/// |---|---|
/// | `+text` | simple string |
/// | `-text` | error |
/// | `:number` | integer |
/// | `$n` | bulk string: n bytes and `\r\n` follow; -1 is null |
/// | `*n` | array: n replies follow; -1 is null |
///
/// Each line ends in `\r\n`. Source: Redis serialization protocol specification, RESP2.
enum RESPHead: ~Escapable {
    case simple(RawSpan)
    case error(RawSpan)
    case integer(Int64)
    case bulk(Int?)
    case array(Int?)
}

extension ByteReader {
    /// Moves over a reply's first line. The body of a bulk string and the elements of an array follow it.
    ///
    /// - Returns: `nil`, without moving, when bytes are missing.
    @_lifetime(copy self)
    mutating func readRESPHead() throws(WireError) -> RESPHead? {
        let start = offset
        guard let type = peekUInt8() else { return nil }
        switch type {
        case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "$"), UInt8(ascii: "*"): break
        default: throw .unsupported("type of a reply", code: UInt64(type), offset: start)
        }
        guard let line = try readRESPLine() else { return nil }
        switch type {
        case UInt8(ascii: "+"): return .simple(line)
        case UInt8(ascii: "-"): return .error(line)
        case UInt8(ascii: ":"):
            guard let value = line.replyInteger else { throw .malformed("reply with a broken number", offset: start) }
            return .integer(value)
        case UInt8(ascii: "$"):
            let count = try respCount(line, "bytes of a reply", limit: Limits.replyBulkBytes, at: start)
            return .bulk(count)
        default:
            let count = try respCount(line, "elements of a reply", limit: Limits.replyElements, at: start)
            return .array(count)
        }
    }

    /// The `count` bytes of a bulk string; the cursor moves past their line end.
    ///
    /// - Returns: `nil`, without moving, when bytes are missing.
    @_lifetime(copy self)
    mutating func readRESPBulkBody(_ count: Int) throws(WireError) -> RawSpan? {
        guard count + 2 <= remaining else { return nil }
        let end = offset + count
        guard bytes.littleEndian(UInt16.self, at: end) == 0x0A0D else {
            throw .malformed("bulk string without its line end", offset: end)
        }
        let body = readSpan(count)
        _ = skip(2)
        return body
    }

    func respTooDeep(at start: Int) -> WireError {
        let limit = UInt64(Limits.replyDepth)
        return .tooLarge("depth of a reply", value: limit + 1, limit: limit, offset: start)
    }

    /// The text between the type byte and the line end.
    @_lifetime(copy self)
    private mutating func readRESPLine() throws(WireError) -> RawSpan? {
        let start = offset
        let limit = Limits.replyLineBytes
        let last = min(bytes.byteCount, start + 1 + limit + 1)
        var end = start + 1
        while end < last, bytes.byte(at: end) != 0x0D {
            guard bytes.byte(at: end) != 0x0A else {
                throw .malformed("reply line with a bare line feed", offset: start)
            }
            end += 1
        }
        guard end - start - 1 <= limit else {
            throw .tooLarge("bytes of a reply line", value: UInt64(limit + 1), limit: UInt64(limit), offset: start)
        }
        guard end + 1 < bytes.byteCount else { return nil }
        guard bytes.byte(at: end + 1) == 0x0A else {
            throw .malformed("reply line with a bare carriage return", offset: start)
        }
        _ = skip(end + 2 - start)
        return bytes.extracting((start + 1)..<end)
    }

    /// The length in a head; `nil` for -1, the null.
    private func respCount(
        _ line: RawSpan, _ what: StaticText, limit: Int, at start: Int
    ) throws(WireError) -> Int? {
        guard let value = line.replyInteger, value >= -1 else {
            throw .malformed("reply with a broken length", offset: start)
        }
        guard value <= limit else {
            throw .tooLarge(what, value: UInt64(value), limit: UInt64(limit), offset: start)
        }
        return value == -1 ? nil : Int(value)
    }
}

extension RawSpan {
    /// The number of a reply: digits with an optional sign, leading zeros allowed.
    var replyInteger: Int64? {
        guard byteCount > 0 else { return nil }
        let sign = byte(at: 0)
        let isNegative = sign == UInt8(ascii: "-")
        let first = isNegative || sign == UInt8(ascii: "+") ? 1 : 0
        guard first < byteCount else { return nil }
        var value: Int64 = 0  // counted downwards: the least number has no positive twin
        for offset in first..<byteCount {
            let digit = byte(at: offset) &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
            let (next, underflow) = tenfold.subtractingReportingOverflow(Int64(digit))
            guard !overflow, !underflow else { return nil }
            value = next
        }
        if isNegative { return value }
        return value == .min ? nil : -value
    }
}
