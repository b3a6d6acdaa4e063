/// One reply of a Redis or Dragonfly server, as a tree: for handshakes and queries, not for pipelines.
package enum RESPValue: Equatable, Sendable {
    case simple(String)
    case error(String)
    case integer(Int64)
    /// A string of any bytes; `nil` is RESP2's null.
    case bulk([UInt8]?)
    /// `nil` is RESP2's null array, for example the reply to an EXEC that WATCH has cancelled.
    case array([RESPValue]?)
}

extension RESPValue {
    /// True for `+OK`.
    package var isOK: Bool { self == .simple("OK") }

    /// True for both of RESP2's nulls.
    package var isNull: Bool { self == .bulk(nil) || self == .array(nil) }

    /// The text of a simple or bulk string; bytes that are not UTF-8 are replaced.
    package var text: String? {
        switch self {
        case .simple(let text): text
        case .bulk(let bytes?): String(decoding: bytes, as: UTF8.self)
        default: nil
        }
    }

    /// The bytes of a bulk string.
    package var bytes: [UInt8]? {
        if case .bulk(let bytes) = self { bytes } else { nil }
    }

    /// The number of an integer reply, or of a simple or bulk string that is the number's decimal text.
    package var int: Int64? {
        if case .integer(let value) = self { value } else { text.flatMap { Int64($0) } }
    }

    package var array: [RESPValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The names and values of a map, which RESP2 has as a flat array: what HGETALL and CONFIG GET answer.
    package var pairs: [(name: RESPValue, value: RESPValue)] {
        guard let words = array else { return [] }
        return stride(from: 0, to: words.count - 1, by: 2).map { (words[$0], words[$0 + 1]) }
    }

    /// The value of `name` in such a map.
    package subscript(name: String) -> RESPValue? { pairs.first { $0.name.text == name }?.value }

    /// The message of an error reply.
    package var errorText: String? {
        if case .error(let message) = self { message } else { nil }
    }
}

extension ByteReader {
    /// The next reply, whole.
    ///
    /// - Throws: `unsupported` for a type of RESP3, which is never asked for; `tooLarge` above the caps of `Limits`.
    /// - Returns: `nil`, without moving, when bytes are missing.
    package mutating func readRESPValue() throws(WireError) -> RESPValue? {
        let start = offset
        let value = try readRESPValue(depth: 0)
        if value == nil { rewind(to: start) }
        return value
    }

    private mutating func readRESPValue(depth: Int) throws(WireError) -> RESPValue? {
        let start = offset
        switch try readRESPHead() {
        case nil: return nil
        case .simple(let line): return .simple(String(decoding: line))
        case .error(let line): return .error(String(decoding: line))
        case .integer(let value): return .integer(value)
        case .bulk(nil): return .bulk(nil)
        case .bulk(let count?):
            guard let body = try readRESPBulkBody(count) else { return nil }
            return .bulk(body.withUnsafeBytes { Array($0) })
        case .array(nil): return .array(nil)
        case .array(let count?):
            guard depth < Limits.replyDepth else { throw respTooDeep(at: start) }
            var elements: [RESPValue] = []
            elements.reserveCapacity(min(count, remaining / 4))  // no element is shorter than ":0\r\n"
            for _ in 0..<count {
                guard let element = try readRESPValue(depth: depth + 1) else { return nil }
                elements.append(element)
            }
            return .array(elements)
        }
    }
}

extension String {
    fileprivate init(decoding bytes: RawSpan) {
        self = bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }
}
