import Link
import Logging
import Redis
import Wire

/// Batches that are beyond the target's limits, or end its connections (`BatchTrial`).
extension FlowApplier {
    /// Sends a sealed batch: whole, unless the target's limits forbid it.
    func deliver(_ batch: CommandBatch) {
        let limits = context.targetLimits.limits
        guard batch.bytes.count > limits.safeBatchBytes else {
            link?.send(batch)
            return
        }
        parts = BatchInParts(batch, limit: limits.transactionBytes ?? .max)
        leaveOutExcesses(limits)
        sendNextPart()
    }

    /// Writes a batch while it is being built; what comes before its long command goes ahead where both together are over
    /// the target's limit.
    func sendLong(_ batch: CommandBatch) {
        if let limit = context.targetLimits.limits.transactionBytes, let command = batch.hugeCommand,
            batch.bytes.count + command.argumentBytes + TargetLimits.frameBytes > limit,
            let before = batch.takeCommandsBeforeLongOne(in: encoder.selectedDatabase ?? 0)
        {
            before.progress.flowBytes = context.progress(flow).appliedBytes
            before.seal(checkpoint: nextCheckpoint(before))
            return deliver(before)
        }
        link?.send(batch)
    }

    func deliveredPart() {
        parts?.delivered()
        sendNextPart()
    }

    func sendNextPart() {
        if hasEnded { return }
        guard let part = parts?.nextPart() else {
            let failure = parts?.failure
            parts = nil
            if let failure { fail(failure) } else { reportFound() }
            return
        }
        part.progress.flowBytes = max(part.progress.flowBytes, context.progress(flow).appliedBytes)
        part.seal(checkpoint: nextCheckpoint(part))
        link?.send(part)
    }

    /// The batch has not been applied by the connection that ended.
    func resend(_ batch: CommandBatch, _ evidence: BatchTrial.Evidence) {
        let limits = context.targetLimits.limits
        if parts == nil { parts = BatchInParts(batch, limit: limits.transactionBytes ?? .max) }
        switch parts?.lost(evidence) {
        case .again, .divided, nil: break
        case .blamed(let unit): blame(unit)
        case .suspected(let unit):
            guard let command = parts?.largestCommand(in: unit) else { break }
            context.logger.warning(
                "the target ends the connection each time it is sent \(parts?.batch.label(ofCommand: command.number).description ?? "") of \(command.size.allArguments) bytes; it is sent again and again",
                metadata: ["flow": "\(flow)"])
        }
        leaveOutExcesses(limits)
        sendNextPart()
    }

    private func leaveOutExcesses(_ limits: TargetLimits) {
        for (command, excess) in parts?.excesses(limits) ?? [] where parts?.failure == nil {
            let limit: Int? = if case .argument(_, let limit) = excess { limit } else { nil }
            leaveOut(command, .excess(excess), limit: limit)
        }
    }

    private func blame(_ unit: Int) {
        guard let (number, size) = parts?.largestCommand(in: unit) else { return }
        let words = loss?.lastWords
        if words?.contains("invalid bulk length") == true {
            context.targetLimits.refused(argumentBytes: size.longestArgument)
        } else if words == nil {
            context.targetLimits.refused(allArguments: size.allArguments)
        }
        leaveOut(number, .fatal(size: size, words: words), limit: words == nil ? nil : size.longestArgument - 1)
    }

    private func leaveOut(_ command: Int, _ obstacle: ReplyJudge.Obstacle, limit: Int?) {
        guard let batch = parts?.batch else { return }
        let remainder = batch.remainder(ofCommand: command, limit: limit)
        if let stop = judge.overLimit(batch.label(ofCommand: command), obstacle, leaving: remainder.effect) {
            parts?.end(before: command, because: stop)
        } else {
            parts?.leaveOut(command, writing: remainder.commands)
        }
    }

    /// The connection ended while a value was being written that is too large to be kept: the session ends, and the next one
    /// knows it by its size.
    func lost(_ error: TargetError, inLongCommandOf batch: CommandBatch) {
        var name = "a value"
        if let command = batch.hugeCommand {
            name = "\(command.label) of \(command.argumentBytes) bytes,"
            if error.blamesRequest {
                context.targetLimits.refused(argumentBytes: command.argumentBytes)
            } else if command.argumentBytes > TargetLimits.leastBytes,
                context.targetLimits.suspect(command.label) >= Self.silentLossesOfLongCommand
            {
                context.targetLimits.refused(allArguments: command.argumentBytes)
            }
        }
        fail(.init(.targetChanged, flow: flow, "\(error), in the middle of \(name) too large to send again"))
    }

    /// Sessions that end so until the command counts as one that the target does not take.
    private static let silentLossesOfLongCommand = 3
}
