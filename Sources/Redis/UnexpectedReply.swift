import Wire

/// A reply that differs from what its command expects: an error, or a null, a zero, an empty array or a number,
/// where it matters.
package struct UnexpectedReply: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case error(String), null, zero, empty
        /// The source may have done something else.
        case inDoubt(ReplyDoubt)
        /// The command was not sent: in a cluster it needs a value from another slot, and the value exceeds a limit.
        case tooLarge(TargetLimits.Excess)
    }

    /// The command's number in the batch.
    package var command: Int
    package var kind: Kind

    package init(command: Int, kind: Kind) { (self.command, self.kind) = (command, kind) }

    package var errorText: String? {
        if case .error(let text) = kind { text } else { nil }
    }

    /// Whether the user lacks a right that the task needs. A script is not data, so the task continues without it.
    package func isMissingRight(in batch: CommandBatch) -> Bool {
        guard let errorText, TargetError.isDenial(errorText) else { return false }
        return batch.label(ofCommand: command).name != "SCRIPT"
    }
}

extension UnexpectedReply.Kind {
    /// - Parameters:
    ///   - number: the number of the command of `batch` that the reply answers.
    ///   - isRepeated: whether the command may have been executed before, so that it finds nothing left to do.
    /// - Returns: `nil` for a reply that the command expects.
    init?(
        _ reply: ReplyOutline, to number: Int, of batch: CommandBatch,
        isRepeated: @autoclosure () -> Bool = false
    ) {
        if reply.isZero || reply.hasInexactNumber, let doubt = batch.doubt(about: number) {
            self = .inDoubt(doubt)
            return
        }
        switch reply.shape {
        case .null where batch.reportsConflicts: self = .null
        case .integer where reply.isZero && (batch.reportsConflicts || (batch.isEffective(number) && !isRepeated())):
            self = .zero
        case .array(elements: 0, _) where batch.reportsEmptyReplies: self = .empty
        default: return nil
        }
    }
}
