import Base
import Dashboard
import Logging
import Replication
import Systemd

/// Runs a task until it ends by itself or is asked to leave, and reports the result to the log and to systemd.
struct TaskRun {
    let task: String
    let replicator: Replicator
    let stopRequests: StopRequests
    /// The longest time that a leave may take.
    let leaveLimit: Duration
    let mode: ReplicationService.Mode
    let notifier: ServiceNotifier
    let logger: Logger

    /// - Parameter onEnd: called after the task ended and before the result is reported.
    func untilItsEnd(onEnd: () -> Void) async -> ExitStatus {
        // Owned by this call, which waits for its end.
        let leaving = Task {
            for await request in stopRequests.stream {
                notifier.stopping(status: "leaving the source")
                // This exceeds the unit's TimeoutStopSec= only if shutdown.drainSeconds is long.
                notifier.extendTimeout(leaveLimit)
                await replicator.leave(drains: request.drains, isCutover: request.isCutover)
            }
        }
        let status: ExitStatus
        do {
            let summary = try await replicator.run()
            onEnd()
            status = report(summary)
        } catch {
            onEnd()
            status = report(ReplicationError(error))
        }
        stopRequests.end()
        await leaving.value
        return status
    }

    private func report(_ summary: ReplicationSummary) -> ExitStatus {
        guard summary.isUnfinished else {
            logger.notice("done: \(summary.text(mode))")
            return .done
        }
        let message = "the migration was ended before it was complete: \(summary.text(mode))"
        logger.error("\(message); exit status \(ExitStatus.notDone.code)")
        notifier.failure(message)
        return .notDone
    }

    private func report(_ error: ReplicationError) -> ExitStatus {
        let status = error.exitStatus
        var metadata = error.metadata
        if status == .stoppedByPolicy { metadata["event"] = "policyStop" }
        let text = error.description.namingCredentials(of: task)
        logger.critical("\(text); exit status \(status.code)", metadata: metadata)
        notifier.failure(text)
        return status
    }
}

extension ReplicationSummary {
    fileprivate func text(_ mode: ReplicationService.Mode) -> String {
        // Only a full sync counts keys.
        var parts = fullSyncs > 0 || mode == .migrate ? ["\(keys) snapshot keys"] : []
        if mode == .replicate { parts.append("\(records) journal records") }
        if expiredKeys > 0 { parts.append("\(expiredKeys) expired keys left out") }
        if conflictingKeys > 0 { parts.append("\(conflictingKeys) existing keys left as they were") }
        for (kind, count) in incidents.sorted(by: { $0.key < $1.key }) { parts.append("\(count) x \(kind)") }
        return parts.joined(separator: ", ")
    }
}
