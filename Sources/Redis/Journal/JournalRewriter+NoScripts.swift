import Wire

/// Where the target runs no scripts: plain commands that come near what a script would do, and what cannot be done.
extension JournalRewriter {
    /// - Returns: `nil` for a command that needs no script.
    func rewriteWithoutScripts(
        _ rule: JournalRule, _ command: borrowing JournalCommand, now: Int64, into batch: CommandBatch
    ) -> RewriteOutcome? {
        switch rule {
        case .prepend: return .unsupported(.scripting)
        case .deleteIf: return command.argumentCount == 4 ? .unsupported(.scripting) : nil
        case .hashSetWithExpiry:
            guard let fields = FieldExpiryCommand(command, now: now) else { return nil }
            return fields.condition == .always && !fields.keepsExpiry ? nil : .unsupported(.scripting)
        case .incrementFloat:
            batch.append(command)
            return .writtenDiverging(.floatSum)
        case .rename:
            guard command.argumentCount == 3 else { return .unsupported(.unknownCommand) }
            // A RENAMENX in the journal has succeeded: what the target has there is not the source's.
            batch.append("RENAME", command.argument(at: 1), command.argument(at: 2))
            return .written
        default: return nil
        }
    }
}
