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

    /// `nil`: it is of no part.
    package var part: Int32?
    /// `nil`: it is of none of the part's commands.
    package var command: CommandIndex?
    package var kind: Kind
    /// The reply itself is wanted, not just its shape.
    package var wantsValue = false
    /// In the array that an EXEC answers.
    package var replies: Int32 = 0

    package init(_ kind: Kind) { self.kind = kind }

    init(_ kind: Kind, part: Int, command: CommandIndex? = nil, wantsValue: Bool = false, replies: Int = 0) {
        (self.kind, self.part, self.command) = (kind, Int32(part), command)
        (self.wantsValue, self.replies) = (wantsValue, Int32(replies))
    }
}

/// A reply of a node, as far as anybody needs it.
package enum NodeReply: Equatable, Sendable {
    /// - `isZero`: it is the integer 0.
    case shape(RESPReplyShape, isZero: Bool)
    case value(RESPValue)
    case error(String)
}
