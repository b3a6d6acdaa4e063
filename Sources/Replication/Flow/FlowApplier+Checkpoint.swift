package import Dragonfly
import Link
import Redis
import Wire

/// The flow's position, and what it tells of a batch whose fate is unknown.
///
/// In the target it is written with the batch, and says whether the batch was applied. Where a file keeps it, the batch is
/// sent again: at least once. What the target may have lost by a restart can be told by no file.
extension FlowApplier {
    private var isInTarget: Bool { context.checkpoint.store == .target }
    private var field: String { context.checkpointKey.field(flow) }

    func checkpointText(_ next: LSN) -> String {
        let session = context.session
        return CheckpointValue.stable(
            replicationID: session.replicationID, flowCount: session.flowCount, next: next
        ).text
    }

    func nextCheckpoint(_ batch: CommandBatch) -> CommandBatch.Checkpoint? {
        guard isInTarget else { return nil }
        batchNumber += 1
        let session = context.session
        let text =
            batch.progress.nextLSN.map { checkpointText(LSN($0)) }
            ?? CheckpointValue.snapshot(
                replicationID: session.replicationID, syncID: session.syncID, batch: batchNumber
            ).text
        return .init(key: Array(context.checkpointKey.name.utf8), field: Array(field.utf8), value: Array(text.utf8))
    }

    /// The position behind the global command that the flow waits at.
    package var positionBehindGlobal: LSN { LSN(encoder.nextLSN + 1) }

    // MARK: Repeating

    /// Before `start`: the flow goes on at `point`.
    ///
    /// - Parameter repeating: some of what lies behind it may have been applied; `catchesUp(until:)` will tell how far.
    package func continues(at point: ResumePoint, repeating: Bool) {
        sealedNext = point.nextLSNs[flow.index].value
        confirmedCheckpoint = checkpointText(point.nextLSNs[flow.index])
        repeatsUntil = repeating ? LSN(.max) : nil
        encoder.catchesUpUntil = .max
    }

    /// The source was at `end` after the session had begun: what lies before may be old.
    package func catchesUp(until end: LSN) {
        if repeatsUntil != nil { repeatsUntil = end }
        encoder.catchesUpUntil = end.value
    }

    /// Some of the batch behind the last one, which brings the flow to `next`, may have been applied before.
    func isRepeating(to next: UInt64?) -> Bool {
        guard let next, let end = repeatsUntil else { return false }
        defer { sealedNext = next }
        return sealedNext < end.value
    }

    /// Before the first batch: the target still holds the position that the session found there. Whoever else ran this
    /// task has lost its connections by now.
    func checkPosition() async throws {
        guard isInTarget, repeatsUntil == nil else { return }
        let stored = try await found().checkpoint
        guard stored != confirmedCheckpoint else { return }
        throw ReplicationError(
            .targetChanged, flow: flow,
            "something else has moved this task's checkpoint: it is \(stored.map { "\"\($0)\"" } ?? "gone")")
    }

    // MARK: A target that comes back

    /// What a target that has come back holds: the flow's checkpoint, or the run that a file's positions are bound to.
    struct Found {
        var runID: String
        /// The flow's field; not asked for where a file keeps it.
        var checkpoint: String?
    }

    func found() async throws -> Found {
        let connection = try await context.connector.connect(role: "check-\(flow)")
        defer { Task { await connection.close() } }
        let profile = try await context.connector.profile(on: connection)
        context.targetLimits.configure(profile.limits)
        guard isInTarget else { return Found(runID: profile.runID) }
        let reply = try await connection.request("HGET", context.checkpointKey.name, field)
        if case .error(let text) = reply { throw TargetError.reply(text, to: "HGET") }
        return Found(runID: profile.runID, checkpoint: reply.text)
    }

    /// Finds out what became of the orphaned batch, and goes on.
    ///
    /// - Parameter isAtFirstAttempt: the target served as soon as it was asked.
    func settleOrphan(_ found: Found, isAtFirstAttempt: Bool) throws {
        state = stateBehindReconnect
        let evidence = evidence(isServing: isAtFirstAttempt && found.runID == servingRunID)
        servingRunID = found.runID
        let batch = orphan
        guard isInTarget else {
            guard found.runID == context.targetRunID else {
                throw ReplicationError(
                    .targetChanged, flow: flow,
                    "the target has been restarted, and a checkpoint in a file cannot tell what it has lost")
            }
            orphan = nil
            guard let batch else { return goOn() }
            batch.mayHaveBeenApplied = true
            parts?.batch.mayHaveBeenApplied = true
            return resend(batch, evidence)
        }
        let stored = found.checkpoint
        guard let batch else {
            guard stored == confirmedCheckpoint else { throw changed(stored) }
            return goOn()
        }
        orphan = nil
        let sent = batch.checkpointValue.map { String(decoding: $0, as: UTF8.self) }
        if stored == sent {
            settled(batch, .applied([]))
        } else if stored == confirmedCheckpoint {
            resend(batch, evidence)
        } else {
            throw changed(stored)
        }
    }

    private func goOn() {
        reportFound()
        pump()
    }

    private func evidence(isServing: Bool) -> BatchTrial.Evidence {
        guard let loss, isServing else { return .elsewhere }
        return loss.blamesRequest ? .complaint : .silence
    }

    private func changed(_ stored: String?) -> ReplicationError {
        ReplicationError(
            .targetChanged, flow: flow,
            "the target came back with other data: its checkpoint is \(stored.map { "\"\($0)\"" } ?? "gone")")
    }
}
