import Logging
import Redis

/// Decides what the session does when the target removes keys of the task by itself (`TargetWatch`).
@SessionActor
final class TargetReactions {
    private let scope: SessionScope
    private let databases: TaskDatabases
    private let checkpoint: SessionCheckpoint
    private let reconciliation: ReconciliationRun
    private let logger: Logger
    private var expired: ExpiredKeys

    init(
        _ scope: SessionScope, databases: TaskDatabases, checkpoint: SessionCheckpoint,
        reconciliation: ReconciliationRun
    ) {
        self.scope = scope
        self.databases = databases
        self.checkpoint = checkpoint
        self.reconciliation = reconciliation
        logger = scope.task.logger
        expired = ExpiredKeys(lapses: scope.task.lease.lapses)
    }

    /// Reports, at the beginning of a session, the keys that were lost since the last one.
    func begin(_ findings: TargetWatch.Findings) { report(findings) }

    /// Polls the target. The answer arrives as an event.
    func poll() {
        let expected = expected
        scope.backgroundTasks.start(.targetPoll) { [events = scope.events, watch = scope.task.targetWatch] in
            guard let findings = await watch.poll(expecting: expected) else { return }
            events.report(.target(findings))
        }
    }

    /// What a poll should find in the target now.
    private var expected: TargetWatch.Expectation {
        let isApplying = scope.sync.phase == .stable || scope.sync.phase == .catchingUp
        guard isApplying, databases.areNoted else { return .nothing }
        if checkpoint.isInTarget { return .checkpoint }
        return .marks(databases.marked, runID: scope.target.profile?.runID ?? "")
    }

    /// Polls the target at once, because the source has keys that the target lacks: somebody may have just emptied the
    /// target.
    ///
    /// - Throws: `ReplicationError` if the target was emptied.
    func pollNow() async throws {
        if let findings = await scope.task.targetWatch.poll(expecting: expected) { try handle(findings) }
    }

    /// Handles the findings of a poll.
    ///
    /// - Throws: `ReplicationError` if the checkpoint is gone together with the data, or if a database has lost its keys.
    func handle(_ findings: TargetWatch.Findings) throws {
        report(findings)
        databases.forgetMarks(of: findings.evicted)
        switch findings.checkpoint {
        case .intact: break
        case .gone: throw ReplicationError.checkpointGone
        case .evicted:
            let error = ReplicationError.checkpointEvicted(findings.figures.evictionPolicy)
            guard scope.sync.phase == .stable, !reconciliation.isPending else { throw error }
            logger.error("\(error); writing it again", metadata: ["event": "divergence"])
            restoreCheckpoint()
        }
        guard findings.emptied.isEmpty else {
            throw ReplicationError(dataReplaced: .databasesEmptied(findings.emptied))
        }
    }

    private func report(_ findings: TargetWatch.Findings) {
        scope.task.counters.targetAnswered(after: findings.roundTrip, keys: findings.figures.keys)
        let incidents = scope.task.incidents
        incidents.reportEviction(findings.figures, isInCluster: scope.control.isInCluster)
        incidents.reportEvicted(findings.loss.evicted, policy: findings.figures.evictionPolicy)
        // With exact TTLs, the clocks of both sides end a key at the same time, so expired keys are not reported.
        let lapses = scope.task.lease.lapses
        guard scope.sync.phase == .stable, scope.task.settings.expiryGuard > .zero else {
            return expired.forget(lapses: lapses)
        }
        incidents.reportExpired(expired.update(expired: findings.loss.expired, lapses: lapses))
    }

    /// Writes the checkpoint again after the target has evicted it. Every flow is quiet meanwhile, so the stored position
    /// is exactly what is applied.
    private func restoreCheckpoint() {
        scope.backgroundTasks.start(.restoration) { [self] in
            let control = scope.task.control(role: "restore")
            await scope.flows.whileQuiet { [self] in
                guard !Task.isCancelled, scope.sync.phase == .stable, let position = scope.flows.position else {
                    return
                }
                var fields = checkpoint.fields(at: position)
                if let note = await scope.dataSets.note() { fields.append((DataSetNote.field, note.text)) }
                do {
                    try await scope.task.checkpointStore.restore(fields, on: control)
                } catch {
                    // The next poll finds it missing again.
                    logger.warning("cannot write the checkpoint again: \(error)")
                }
            }
            await control.close()
        }
    }
}
