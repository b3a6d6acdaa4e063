import Logging
import Redis
import Wire

/// Hands one batch after the other to the target: whole, or in parts where the target's limits or connections that end ask
/// for it.
final class BatchDelivery {
    /// What follows.
    enum Step {
        /// The target gets this; it is to be sealed, unless it is.
        case deliver(CommandBatch)
        /// All of the batch is applied.
        case done
        /// What of the batch may be applied is, and the task stops.
        case failed(ReplicationError)
    }

    private let context: FlowContext
    private let classifier: ReplyClassifier
    /// The batch that is being delivered, if it is in parts.
    private var parts: BatchInParts?

    init(context: FlowContext, classifier: ReplyClassifier) {
        self.context = context
        self.classifier = classifier
    }

    /// How often in a row the part on its way has lost its connection.
    var losses: Int { parts?.trial.losses ?? 0 }

    var isInParts: Bool { parts != nil }

    /// A sealed batch is to be delivered.
    func begin(_ batch: CommandBatch) -> Step {
        let limits = context.targetLimits.limits
        guard batch.bytes.count > limits.safeBatchBytes else { return .deliver(batch) }
        parts = BatchInParts(batch, limit: limits.transactionBytes ?? .max)
        leaveOutExcesses(limits)
        return next()
    }

    /// What was on its way has been applied.
    func delivered() -> Step {
        parts?.delivered()
        return next()
    }

    /// Commands of what was on its way are refused, and nothing of it was applied.
    func refused(_ indices: [Int], of batch: CommandBatch) -> Step {
        guard parts != nil else { return .deliver(batch.removing(Set(indices))) }
        parts?.leaveOutOfPart(indices)
        return next()
    }

    /// Runs of strings in what was on its way are refused, and nothing of it was applied.
    func runsRefused(of batch: CommandBatch) -> Step { .deliver(batch.inSingleCommands()) }

    /// What was on its way has not been applied by the connection that ended.
    ///
    /// - Parameter words: what the target said before it ended the connection.
    func resend(_ batch: CommandBatch, _ evidence: BatchTrial.Evidence, words: String?) -> Step {
        let limits = context.targetLimits.limits
        if parts == nil { parts = BatchInParts(batch, limit: limits.transactionBytes ?? .max) }
        if batch.mayHaveBeenApplied { parts?.batch.mayHaveBeenApplied = true }
        switch parts?.lost(evidence) {
        case .again, .divided, nil: break
        case .blamed(let unit): blame(unit, words)
        case .suspected(let unit): warn(unit)
        }
        leaveOutExcesses(limits)
        return next()
    }

    private func next() -> Step {
        if let part = parts?.nextPart() { return .deliver(part) }
        let failure = parts?.failure
        parts = nil
        return failure.map(Step.failed) ?? .done
    }

    // MARK: What the target does not take

    private func leaveOutExcesses(_ limits: TargetLimits) {
        for (command, excess) in parts?.excesses(limits) ?? [] where parts?.failure == nil {
            let limit: Int? = if case .argument(_, let limit) = excess { limit } else { nil }
            leaveOut(command, .excess(excess), limit: limit)
        }
    }

    private func blame(_ unit: Int, _ words: String?) {
        guard let (number, size) = parts?.largestCommand(in: unit) else { return }
        if words?.contains("invalid bulk length") == true {
            context.targetLimits.refused(argumentBytes: size.longestArgument)
        } else if words == nil {
            context.targetLimits.refused(allArguments: size.allArguments)
        }
        leaveOut(number, .fatal(size: size, words: words), limit: words == nil ? nil : size.longestArgument - 1)
    }

    private func leaveOut(_ command: Int, _ obstacle: ReplyClassifier.Obstacle, limit: Int?) {
        guard let batch = parts?.batch else { return }
        let remainder = batch.remainder(ofCommand: command, limit: limit)
        if let stop = classifier.overLimit(batch.label(ofCommand: command), obstacle, leaving: remainder.effect) {
            parts?.end(before: command, because: stop)
        } else {
            parts?.leaveOut(command, writing: remainder.commands)
        }
    }

    private func warn(_ unit: Int) {
        guard let (number, size) = parts?.largestCommand(in: unit), let batch = parts?.batch else { return }
        context.logger.warning(
            "the target closes the connection each time it gets \(batch.label(ofCommand: number)) of \(size.allArguments) bytes; retrying",
            metadata: ["flow": "\(classifier.flow)"])
    }
}
