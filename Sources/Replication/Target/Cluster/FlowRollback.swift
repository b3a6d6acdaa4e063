import Dragonfly
import Redis

/// The position to which a flow goes back, because a node lacks confirmed writes.
///
/// The flow goes back to the position of the mark that was found, if it can repeat everything since then. Otherwise it
/// gives up its position and needs a full sync. It never goes forward, because its position may come from another node that
/// lacks more. Pure.
struct FlowRollback: Sendable {
    /// The state of the flow before it goes back.
    struct Start {
        var session: SessionStateMachine.Session
        var position: FlowPosition?
        var lastCrossing: CrossingNote?
        var watch: NodeWatch
    }

    let position: CheckpointValue
    /// The marks that are expected of the nodes from then on.
    let watch: NodeWatch
    let message: String
    /// Why a full sync is needed; `nil` if none is.
    let reason: FullSyncReason?

    /// - Parameter node: the node as named in messages.
    init(_ verdict: NodeWatch.Verdict, in slot: KeySlot, at node: String, from start: Start) {
        let what =
            switch verdict {
            case .complete, .older: "came back without writes that the cluster had confirmed"
            case .lacksUnrepeatable:
                "came back without a flush, a full sync, or the end of a session that the cluster had confirmed: it has what was there before"
            case .doubtful: "has slots that came to its master shortly before it took its place"
            case .emptied: "was emptied"
            case .ahead:
                "knows of a full sync, or of the end of a session, that the node with the checkpoint has come back without"
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
    /// Stores the rollback in the checkpoint.
    ///
    /// - Returns: the error to stop with.
    func store(_ rollback: FlowRollback, of flow: FlowID, at key: CheckpointKey) async -> ReplicationError {
        var message = rollback.message
        do throws(TargetError) {
            // Values written beside the stream at this position or later count as lost.
            _ = try await ask(
                "HSET", key.name, key.field(flow), rollback.position.text, key.outOfStreamField(flow), "0",
                ClusterFields.nodes(flow), rollback.watch.text)
        } catch {
            message += "; that could not be stored: \(error)"
        }
        guard let reason = rollback.reason else { return ReplicationError(.targetChanged, flow: flow, message) }
        return ReplicationError(lackingNode: message, flow: flow, reason)
    }
}
