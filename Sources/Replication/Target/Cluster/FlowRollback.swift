import Dragonfly
import Redis

/// Where a flow goes back to, because a node lacks what had been confirmed there.
///
/// The flow goes back to where the mark that was found was written, if it can do everything since then again. If it cannot, it
/// gives up its position. It never goes forward: its position may be that of another node that lacks more. Pure.
struct FlowRollback: Sendable {
    /// What the flow knows before it goes back.
    struct Start {
        var session: SessionStateMachine.Session
        var position: FlowPosition?
        var lastCrossing: CrossingNote?
        var watch: NodeWatch
    }

    let position: CheckpointValue
    /// What is expected of the nodes from then on.
    let watch: NodeWatch
    let message: String
    /// Why a full sync is needed; `nil`: none is.
    let reason: FullSyncReason?

    /// - Parameter node: in words.
    init(_ verdict: NodeWatch.Verdict, in slot: KeySlot, at node: String, from start: Start) {
        let what =
            switch verdict {
            case .complete, .older: "came back without writes that the cluster had confirmed"
            case .unremoved:
                "came back without a flush, a full sync, or the end of a session that the cluster had confirmed: it has what was there before"
            case .doubtful: "has slots that came to its master shortly before it took its place"
            case .emptied: "was emptied"
            }
        self.init(verdict, in: slot, because: "\(node) \(what)", from: start)
    }

    init(_ verdict: NodeWatch.Verdict, in slot: KeySlot, because cause: String, from start: Start) {
        let session = start.session
        var watch = start.watch
        watch.accept(verdict.found, in: slot)
        self.watch = watch
        let next = start.position.flatMap {
            verdict.restart(of: session.replicationID, before: $0.lsn, after: start.lastCrossing)
        }.map { LSN($0) }
        let words = next.map { "the source is asked for everything since record \($0)" } ?? "a full sync is needed"
        position =
            next.map { .stable(replicationID: session.replicationID, flowCount: session.flowCount, next: $0) }
            ?? .snapshot(replicationID: session.replicationID, syncID: session.syncID, batch: 0)
        message = "\(cause): \(words)"
        reason = next != nil ? nil : verdict == .emptied ? .nodeEmptied : .nodeIncomplete
    }
}

extension ClusterConnector {
    /// - Returns: the error to stop with.
    func store(_ rollback: FlowRollback, of flow: FlowID, at key: CheckpointKey) async -> ReplicationError {
        var message = rollback.message
        do throws(TargetError) {
            // What was written beside the stream at this position or later counts as lost.
            _ = try await ask(
                "HSET", key.name, key.field(flow), rollback.position.text, key.besideField(flow), "0",
                ClusterFields.nodes(flow), rollback.watch.text)
        } catch {
            message += "; that could not be stored: \(error)"
        }
        guard let reason = rollback.reason else { return ReplicationError(.targetChanged, flow: flow, message) }
        return ReplicationError(lackingNode: message, flow: flow, reason)
    }
}
