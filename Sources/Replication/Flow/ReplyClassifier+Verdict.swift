import Link
import Redis
import Wire

/// Decides what the target's answer to a batch means.
extension ReplyClassifier {
    enum Verdict {
        /// The batch took effect; the error, if any, stops the task.
        case applied(ReplicationError?)
        /// Nothing took effect. The batch must be sent without the commands with these numbers.
        case refused([Int])
        /// Nothing took effect. The batch must be sent with a command of its own for each string.
        case runsRefused(String)
        /// Nothing took effect, for a temporary reason.
        case temporarilyRefused(String)
        case failed(ReplicationError)
    }

    func verdict(on outcome: BatchOutcome, of batch: CommandBatch) -> Verdict {
        switch outcome {
        case .applied(let unexpectedReplies): return .applied(stop(for: unexpectedReplies, of: batch))
        case .refused(let refusals): return verdict(on: refusals, of: batch)
        case .rejected(let text):
            if TargetError.isTransientReply(text) { return temporarilyRefused(batch, text) }
            return .failed(ReplicationError(TargetError.reply(text, to: "a transaction"), flow: flow))
        case .cutShort(let unexpectedReplies):
            return .failed(
                stop(for: unexpectedReplies, of: batch)
                    ?? ReplicationError(.targetChanged, flow: flow, "the cluster has taken only part of a batch"))
        }
    }

    private func verdict(on refusals: [UnexpectedReply], of batch: CommandBatch) -> Verdict {
        if let passing = refusals.compactMap(\.errorText).first(where: TargetError.isTransientReply) {
            return temporarilyRefused(batch, passing)
        }
        if batch.checkpointValue != nil, let refusal = refusals.first(where: { $0.command == batch.commandCount - 1 }) {
            // Nothing may be applied without the checkpoint.
            return .failed(
                ReplicationError(TargetError.reply(refusal.errorText ?? "", to: "the checkpoint"), flow: flow))
        }
        if let refusal = refusals.first(where: { batch.label(ofCommand: $0.command).name == "SELECT" }) {
            // Without the SELECT, the following commands would go to another database.
            return .failed(ReplicationError(TargetError.reply(refusal.errorText ?? "", to: "SELECT"), flow: flow))
        }
        if batch.isRetained, let refusal = refusals.first(where: { batch.isRun($0.command) }) {
            // If the refusal is not for all strings, sending them one by one shows which it is for.
            return .runsRefused(refusal.errorText ?? "")
        }
        if let failure = stop(for: refusals, of: batch) { return .failed(failure) }
        guard batch.isRetained else {
            return .failed(.init(.policy, flow: flow, "the target refused part of a value too large to send again"))
        }
        return .refused(refusals.map(\.command))
    }

    private func temporarilyRefused(_ batch: CommandBatch, _ reason: String) -> Verdict {
        guard batch.isRetained else {
            return .failed(
                .init(.targetChanged, flow: flow, "the target refused a value too large to send again: \(reason)"))
        }
        return .temporarilyRefused(reason)
    }

    /// - Returns: the first error to stop with. All unexpected replies are recorded.
    private func stop(for unexpectedReplies: [UnexpectedReply], of batch: CommandBatch) -> ReplicationError? {
        var failure: ReplicationError?
        for reply in unexpectedReplies {
            if let stop = classify(reply, of: batch), failure == nil { failure = stop }
        }
        return failure
    }

    /// Records conflicts with keys that the target already has.
    ///
    /// - Returns: the error to stop with if the policy says so.
    func conflicts(_ existing: [ConflictStage.Place]) -> ReplicationError? {
        var failure: ReplicationError?
        for place in existing {
            let label = CommandLabel(
                name: "", key: printableKey(place.key.span.bytes), database: place.database)
            if let stop = conflict(label), failure == nil { failure = stop }
        }
        return failure
    }
}
