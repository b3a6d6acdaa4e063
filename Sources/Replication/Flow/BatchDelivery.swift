import Logging
import Redis
import Wire

/// Delivers one batch after another to the target. A batch is delivered in parts if it exceeds the target's limits or if
/// connections end while it is being delivered.
final class BatchDelivery {
    /// The next step of a delivery.
    enum Step {
        /// Send this batch to the target; seal it first unless it is sealed.
        case deliver(CommandBatch)
        /// The whole batch is applied.
        case done
        /// Everything that may be applied is applied, and the task must stop.
        case failed(ReplicationError)
    }

    private let context: FlowContext
    private let classifier: ReplyClassifier
    /// The batch that is being delivered, if it is delivered in parts.
    private var parts: BatchInParts?

    init(context: FlowContext, classifier: ReplyClassifier) {
        self.context = context
        self.classifier = classifier
    }

    /// The number of connections in a row that the part on its way has lost.
    var losses: Int { parts?.bisection.losses ?? 0 }

    var isInParts: Bool { parts != nil }

    /// Begins to deliver a sealed batch.
    func begin(_ batch: CommandBatch) -> Step {
        let limits = context.targetLimits.limits
        guard batch.bytes.count > limits.safeBatchBytes else { return .deliver(batch) }
        parts = BatchInParts(batch, limit: limits.transactionBytes ?? .max)
        leaveOutExcesses(limits)
        return next()
    }

    /// Reports that the batch or part on its way has been applied.
    func delivered() -> Step {
        parts?.delivered()
        return next()
    }

    /// Reports that the target refused some commands of the batch or part on its way and applied none of it.
    func refused(_ indices: [Int], of batch: CommandBatch) -> Step {
        guard parts != nil else { return .deliver(batch.removing(Set(indices))) }
        parts?.leaveOutOfPart(indices)
        return next()
    }

    /// Reports that the target refused runs of strings in the batch on its way and applied none of it.
    func runsRefused(of batch: CommandBatch) -> Step { .deliver(batch.inSingleCommands()) }

    /// Reports that the connection ended before the batch or part on its way was applied.
    ///
    /// - Parameter words: what the target said before it ended the connection.
    func resend(_ batch: CommandBatch, _ evidence: BatchBisection.Evidence, words: String?) -> Step {
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

    // MARK: Commands that the target does not take

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

    private func leaveOut(_ command: Int, _ cause: OverLimit, limit: Int?) {
        guard let batch = parts?.batch else { return }
        let replacement = batch.replacement(ofCommand: command, limit: limit)
        if let stop = classifier.overLimit(batch.label(ofCommand: command), cause, leaving: replacement.effect) {
            parts?.end(before: command, because: stop)
        } else {
            parts?.leaveOut(command, writing: replacement.commands)
        }
    }

    private func warn(_ unit: Int) {
        guard let (number, size) = parts?.largestCommand(in: unit), let batch = parts?.batch else { return }
        context.logger.warning(
            "the target closes the connection each time it gets \(batch.label(ofCommand: number)) of \(size.allArguments) bytes; retrying",
            metadata: ["flow": "\(classifier.flow)"])
    }
}
