package import Wire

/// What is kept of a reply that is not read in full.
package struct ReplyOutline: Equatable, Sendable {
    package var shape: RESPReplyShape
    /// Whether the reply is the integer 0.
    package var isZero = false
    /// Whether the reply is text with a number below zero or with more digits than a double holds exactly, as far as is
    /// known.
    package var hasInexactNumber = false

    package init(_ shape: RESPReplyShape) { self.shape = shape }

    /// - Parameter reply: the reply's bytes, with the type byte at the beginning.
    init(_ shape: RESPReplyShape, of reply: RawSpan) {
        self.shape = shape
        switch shape {
        case .integer: isZero = reply[1] == UInt8(ascii: "0")
        case .bulk: hasInexactNumber = reply.hasInexactNumber
        default: break
        }
    }
}

extension RawSpan {
    /// A double holds each whole number of this many digits.
    private static let exactDigits = 15
    /// A longer reply, in bytes, is not one result, and is not looked through.
    private static let longestResult = 64

    /// For a bulk reply. Its head has few digits and no sign, because a null has another shape.
    fileprivate var hasInexactNumber: Bool {
        guard byteCount <= Self.longestResult else { return true }
        var digits = 0
        for place in 0..<byteCount {
            switch self[place] {
            case UInt8(ascii: "-"): return true
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                digits += 1
                if digits > Self.exactDigits { return true }
            default: digits = 0
            }
        }
        return false
    }
}
