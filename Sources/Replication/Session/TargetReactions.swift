import Logging
import Redis

/// What the session does about what the target does to the task's keys by itself (`TargetWatch`).
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

    /// At the beginning of a session: what has been lost since the last one.
    func begin(_ findings: TargetWatch.Findings) { report(findings) }

    /// Asks the target; what it answers is an event.
    func poll() {
        let expected = expected
        scope.sideTasks.start(.targetPoll) { [events = scope.events, watch = scope.task.targetWatch] in
            guard let findings = await watch.poll(expecting: expected) else { return }
            events.report(.target(findings))
        }
    }

    /// What ought to be in the target now.
    private var expected: TargetWatch.Expectation {
        let isApplying = scope.sync.phase == .stable || scope.sync.phase == .catchingUp
        guard isApplying, databases.areNoted else { return .nothing }
        if checkpoint.isInTarget { return .checkpoint }
        return .marks(databases.marked, runID: scope.target.profile?.runID ?? "")
    }

    /// The source is found to have keys that the target lacks: somebody may have emptied the target just now.
    ///
    /// - Throws: `ReplicationError` when that is so.
    func look() async throws {
        if let findings = await scope.task.targetWatch.poll(expecting: expected) { try handle(findings) }
    }

    /// - Throws: `ReplicationError` when the checkpoint is gone, and what has been applied with it, or a database's keys are.
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
        // (With exact TTLs both sides' clocks end a key at the same time.)
        let lapses = scope.task.lease.lapses
        guard scope.sync.phase == .stable, scope.task.settings.expiryGuard > .zero else {
            return expired.forget(lapses: lapses)
        }
        incidents.reportExpired(expired.update(expired: findings.loss.expired, lapses: lapses))
    }

    /// Writes the checkpoint that the target has evicted anew. Every flow comes to rest meanwhile: what is noted is what
    /// is applied.
    private func restoreCheckpoint() {
        scope.sideTasks.start(.restoration) { [self] in
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
