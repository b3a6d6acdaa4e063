/// A byte sequence that the format does not allow, or that we refuse to guess about.
///
/// "More bytes are needed" is not an error: readers return `nil` for it. `offset` counts bytes from the start of what the
/// reader was given; `FlowDecoder` turns it into the offset within the flow.
package enum WireError: Error, Equatable, Sendable {
    /// The bytes break the format. `reason` is a fixed sentence that holds no data of the stream.
    case malformed(_ reason: StaticText, offset: Int)

    /// A code that this version does not know: an opcode, a value type, a mask bit. Its length is never guessed.
    case unsupported(_ what: StaticText, code: UInt64, offset: Int)

    /// A length, a count or a depth above the cap that guards memory.
    case tooLarge(_ what: StaticText, value: UInt64, limit: UInt64, offset: Int)

    /// The bytes may be correct, but the system has no memory to decode them.
    case noMemory(_ what: StaticText, offset: Int)

    /// The offset of the first byte of the unit at fault.
    package var offset: Int {
        switch self {
        case .malformed(_, let offset), .unsupported(_, _, let offset), .tooLarge(_, _, _, let offset),
            .noMemory(_, let offset):
            offset
        }
    }

    /// The same error at `offset`, for bytes that are not in the input as they were read, such as the text of a compressed
    /// string.
    package func placed(at offset: Int) -> WireError { shifted(by: offset - self.offset) }

    /// The same error, `delta` bytes further on: for a reader nested in another.
    package func shifted(by delta: Int) -> WireError {
        switch self {
        case .malformed(let reason, let offset): .malformed(reason, offset: offset + delta)
        case .unsupported(let what, let code, let offset): .unsupported(what, code: code, offset: offset + delta)
        case .tooLarge(let what, let value, let limit, let offset):
            .tooLarge(what, value: value, limit: limit, offset: offset + delta)
        case .noMemory(let what, let offset): .noMemory(what, offset: offset + delta)
        }
    }
}

extension WireError: CustomStringConvertible {
    package var description: String { "\(reason) (byte \(offset))" }

    /// The description without the place.
    package var reason: String {
        switch self {
        case .malformed(let reason, _): "\(reason)"
        case .unsupported(let what, let code, _): "unknown \(what) \(code) (0x\(String(code, radix: 16)))"
        case .tooLarge(let what, let value, let limit, _): "\(what) of \(value) is over the limit of \(limit)"
        case .noMemory(let what, _): "no memory for \(what)"
        }
    }
}

/// A sentence known at compile time, comparable, without a heap allocation.
package struct StaticText: Equatable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    private let text: StaticString

    package init(stringLiteral value: StaticString) { text = value }

    package var description: String { text.description }

    package static func == (a: StaticText, b: StaticText) -> Bool { a.description == b.description }
}
