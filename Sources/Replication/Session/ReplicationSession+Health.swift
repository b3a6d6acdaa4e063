import Dragonfly
import Link
import Redis

/// Signs of life, figures, the summary.
extension ReplicationSession {
    /// The coordinator begins something that may take so long, or begins again.
    func begin(_ step: String, atMost limit: Duration) { health.begin(step, atMost: limit) }

    /// Once a second, from the replicator.
    ///
    /// - Returns: the figures, and what hangs: queues that do not get their turn, and the coordinator if it is at
    ///   something for longer than that can take. What waits for a peer does not hang.
    func beat() -> (status: ReplicationStatus, hanging: Set<String>) {
        #if DEBUG
            if debugHang?.beat() == true { hang() }
        #endif
        post.yield(.tick)
        return (status, health.beat(limit: settings.hangBeats))
    }

    #if DEBUG
        private func hang() {
            switch debugHang?.part {
            case .applier: DebugHang.hang(on: appliers.first?.queue)
            case .reader: DebugHang.hang(on: connections.first?.queue)
            case .coordinator, nil: DebugHang.hang()
            }
        }
    #endif

    var status: ReplicationStatus {
        var status = ReplicationStatus(
            phase: phase, source: settings.source.endpoint.description, target: settings.target.endpoint.description)
        status.flows = zip(appliers, progress).map { applier, progress in
            let index = applier.flow.index
            return .init(
                applier.flow, progress, applier.intake,
                acknowledged: index < connections.count ? connections[index].acknowledged : nil)
        }
        status.incidents = incidents.totals
        status.fullSyncs = history.fullSyncs + (isFullSync && hasBegun ? 1 : 0)
        status.isTargetLost = !lostFlows.isEmpty
        return status
    }

    /// What the session did, for the summary.
    func contribute(to summary: inout ReplicationSummary) async {
        for applier in appliers {
            let counts = await applier.snapshotCounts
            summary.expiredKeys += counts.expired
            summary.conflictingKeys += counts.conflicts
        }
        summary.keys += progress.reduce(0) { $0 + $1.appliedKeys }
        summary.records += progress.reduce(0) { $0 + $1.appliedRecords }
        if isFullSync, hasBegun { summary.fullSyncs += 1 }
    }
}
