/// The kind of a reply, without its contents.
package enum RESPReplyShape: Equatable, Sendable {
    /// A simple string: `+OK`, `+QUEUED`.
    case simple
    case integer
    /// A null bulk string or a null array.
    case null
    case bulk
    /// `errors` of the `elements` are error replies. Elements of nested arrays are not counted.
    case array(elements: Int, errors: Int)
    case error
}

extension ByteReader {
    /// Moves over one complete reply, including its elements. The reply lies between the previous `offset` and the new one,
    /// where `readRESPValue` can read the text of an error again.
    ///
    /// - Throws: as `readRESPValue`.
    /// - Returns: `nil`, without moving, when its end has not arrived.
    package mutating func scanReply() throws(WireError) -> RESPReplyShape? {
        let start = offset
        let shape = try scanReply(depth: 0)
        if shape == nil { rewind(to: start) }
        return shape
    }

    /// Moves over whole replies as long as they are `+OK` or `+QUEUED`.
    ///
    /// - Returns: how many there were, at most `limit`.
    package mutating func skipPlainReplies(atMost limit: Int) -> Int {
        var count = 0
        while count < limit, skipPlainReply() { count += 1 }
        return count
    }

    private mutating func skipPlainReply() -> Bool {
        if remaining >= 5, bytes.littleEndian(UInt32.self, at: offset) == 0x0D4B_4F2B {
            return bytes.byte(at: offset + 4) == 0x0A && skip(5)
        }
        guard remaining >= 9, bytes.littleEndian(UInt64.self, at: offset) == 0x0D44_4555_4555_512B else { return false }
        return bytes.byte(at: offset + 8) == 0x0A && skip(9)
    }

    /// Moves over the head of an array reply to its first element, so that the one error among the replies of an EXEC can be
    /// found.
    ///
    /// - Returns: the number of elements; `nil`, without moving, if the reply is not an array or has not arrived.
    package mutating func readReplyArrayHead() throws(WireError) -> Int? {
        guard peekUInt8() == UInt8(ascii: "*") else { return nil }
        let start = offset
        if case .array(let count?) = try readRESPHead() { return count }
        rewind(to: start)
        return nil
    }

    /// Moves over one complete reply like `scanReply()`, but may have moved if it returns `nil`.
    private mutating func scanReply(depth: Int) throws(WireError) -> RESPReplyShape? {
        // Nearly all replies are "+OK\r\n" and "+QUEUED\r\n".
        if skipPlainReply() { return .simple }
        let start = offset
        switch try readRESPHead() {
        case nil: return nil
        case .simple: return .simple
        case .error: return .error
        case .integer: return .integer
        case .bulk(nil), .array(nil): return .null
        case .bulk(let count?): return try readRESPBulkBody(count) == nil ? nil : .bulk
        case .array(let count?):
            guard depth < Limits.replyDepth else { throw respTooDeep(at: start) }
            var errors = 0
            for _ in 0..<count {
                guard let element = try scanReply(depth: depth + 1) else { return nil }
                if element == .error { errors += 1 }
            }
            return .array(elements: count, errors: errors)
        }
    }
}
