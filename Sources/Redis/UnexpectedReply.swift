import Wire

/// A reply that is not what its command hoped for.
package struct UnexpectedReply: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        case error(String), null, zero, empty
        /// In a cluster: it was not sent, since a value would have to be taken to another slot and is over a limit.
        case tooLarge(TargetLimits.Excess)
    }

    /// The command's number in the batch.
    package var command: Int
    package var kind: Kind

    package init(command: Int, kind: Kind) { (self.command, self.kind) = (command, kind) }

    package var errorText: String? {
        if case .error(let text) = kind { text } else { nil }
    }

    /// The user lacks a right that the task cannot do without. A script is no data: without it the task goes on.
    package func isMissingRight(in batch: CommandBatch) -> Bool {
        guard let errorText, errorText.hasPrefix("NOPERM") else { return false }
        return batch.label(ofCommand: command).name != "SCRIPT"
    }
}

extension UnexpectedReply.Kind {
    /// - Parameters:
    ///   - isZero: the reply is the number 0.
    ///   - number: of the command of `batch` that it answers.
    ///   - isRepeated: the command may have been executed before, so that it finds nothing left to do.
    /// - Returns: `nil` for a reply that the command hoped for.
    init?(
        _ shape: RESPReplyShape, isZero: Bool, to number: Int, of batch: CommandBatch,
        isRepeated: @autoclosure () -> Bool = false
    ) {
        switch shape {
        case .null where batch.reportsConflicts: self = .null
        case .integer where isZero && (batch.reportsConflicts || (batch.isEffective(number) && !isRepeated())):
            self = .zero
        case .array(elements: 0, _) where batch.reportsEmptyReplies: self = .empty
        default: return nil
        }
    }
}
