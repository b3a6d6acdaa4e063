/// What became of a batch.
package enum BatchOutcome: Equatable, Sendable {
    /// EXEC ran: every command took effect but those with an error.
    case applied([UnexpectedReply])
    /// Commands were refused before EXEC, so nothing took effect.
    case refused([UnexpectedReply])
    /// The transaction itself was refused, in these words, not for one of its commands.
    case rejected(String)
    /// In a cluster, where a right is missing: what needs it has not taken effect, other parts may have. It is never sent
    /// again by this session: only the marks in the slots, which the next one reads, say what is still to be done.
    case cutShort([UnexpectedReply])

    package var isApplied: Bool {
        if case .applied = self { true } else { false }
    }
}
