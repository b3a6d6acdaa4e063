package import Wire

/// A reply that a node owes.
package struct NodeExpectation: Equatable, Sendable {
    package enum Kind: UInt8, Sendable {
        case asking, command, multi, queued, queuedMark, exec
        /// The reply says whether a part whose connection was lost has been applied.
        case question
        /// The reply to the command that writes the node's mark.
        case nodeMark
    }

    /// The part to which the reply belongs; `nil` if it belongs to none.
    package var part: Int32?
    /// The command of the part to which the reply belongs; `nil` if it belongs to none.
    package var command: CommandIndex?
    package var kind: Kind
    /// Whether the reply itself is needed and not just its shape.
    package var wantsValue = false
    /// The number of replies in the array of an EXEC.
    package var replies: Int32 = 0

    package init(_ kind: Kind) { self.kind = kind }

    init(_ kind: Kind, part: Int, command: CommandIndex? = nil, wantsValue: Bool = false, replies: Int = 0) {
        (self.kind, self.part, self.command) = (kind, Int32(part), command)
        (self.wantsValue, self.replies) = (wantsValue, Int32(replies))
    }
}

/// A node's reply, reduced to what is needed.
package enum NodeReply: Equatable, Sendable {
    case outline(ReplyOutline)
    case value(RESPValue)
    case error(String)
}
