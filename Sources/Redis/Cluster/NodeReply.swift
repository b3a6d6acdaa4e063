package import Wire

/// What a node owes one reply for.
package struct NodeExpectation: Equatable, Sendable {
    package enum Kind: UInt8, Sendable {
        case asking, command, multi, queued, queuedMark, exec
        /// Whether a part whose connection was lost has been applied.
        case question
        /// The node's mark.
        case nodeMark
    }

    package var kind: Kind
    package var part: Int32 = -1
    package var command: Int32 = -1
    /// The reply itself is wanted, not just its shape.
    package var wantsValue = false

    package init(_ kind: Kind, part: Int = -1, command: Int = -1, wantsValue: Bool = false) {
        (self.kind, self.part, self.command) = (kind, Int32(part), Int32(command))
        self.wantsValue = wantsValue
    }
}

/// A reply of a node, as far as anybody needs it.
package enum NodeReply: Equatable, Sendable {
    /// - `isZero`: it is the integer 0.
    case shape(RESPReplyShape, isZero: Bool)
    case value(RESPValue)
    case error(String)
}
