import Dragonfly
import Link
import Redis

/// What a flow writes to. It takes sealed batches and reports what became of each, in their order; nothing above it knows
/// of sockets, nodes or slots.
///
/// `StandaloneTarget` is the one for a server by itself. A target of many nodes reports a batch as completed when every node
/// has confirmed its part, and a loss when it cannot find out by itself what became of one.
///
/// Confined to the queue of its flow. Events come on that queue, also from within a call.
protocol FlowTarget: AnyObject {
    /// Gets events until `close`.
    var onEvent: (FlowTargetEvent) -> Void { get set }

    /// Connects, whether for the first time or again, and reads what the target holds of the flow.
    ///
    /// What an earlier connection has sent and the target has not executed by now, it never executes.
    ///
    /// - Throws: `TargetError`.
    func open(isolation: isolated (any Actor)?) async throws -> FlowTargetFinding

    /// Nothing is on its way, and the target is connected.
    var isIdle: Bool { get }
    /// How long the target has owed an answer and given no sign of life; zero when it owes none.
    var silence: Duration { get }
    /// The node that has been silent for so long, where the target has more than one.
    var silentNode: Endpoint? { get }

    /// Bytes that may be sent while other batches are on their way, if it does not matter which of them is applied first.
    var room: Int { get }
    /// How large a batch is to be that nothing follows before its answer, where that is far away.
    var batchBytes: Int { get }

    /// Sends a batch: sealed, or one that is written while it is being built.
    func deliver(_ batch: CommandBatch)
    /// More has been appended to the batch that is being written, or it has been sealed.
    func batchGrew()

    /// Looks at what no event comes of, once a second: a part of an answer, or that the target has been moved away from a
    /// server that may be open and answer nothing.
    func followMove()

    /// What every master of a cluster is given after keys are removed there otherwise than by the flow, which is at rest.
    ///
    /// - Parameter next: the flow's position after the removal; `nil`: as it is.
    /// - Returns: `nil` where the target is no cluster.
    func nodeMarking(next: LSN?) -> NodeMarking?
    /// These masters have the last marking.
    func nodesMarked(_ masters: [MarkedMaster])
    /// A global command has been applied, with the flow's position after it: what was noted in the target besides is gone.
    func globalCommandDone(next: LSN)
    /// Each node of a cluster, as it is now, is known to have all that was confirmed there.
    func hasFoundNodesComplete(isolation: isolated (any Actor)?) async -> Bool
    /// All that was received is applied: removes what only a batch on its way needs in the target.
    func retire(isolation: isolated (any Actor)?) async
    /// A batch on its way keeps its unknown fate.
    func close()
    /// Waits until nothing of it is under way, after `close`.
    func join(isolation: isolated (any Actor)?) async
}

extension FlowTarget {
    var silentNode: Endpoint? { nil }
    var room: Int { 0 }
    var batchBytes: Int { 0 }
    func nodeMarking(next: LSN?) -> NodeMarking? { nil }
    func nodesMarked(_ masters: [MarkedMaster]) {}
    func globalCommandDone(next: LSN) {}
    func hasFoundNodesComplete(isolation: isolated (any Actor)? = #isolation) async -> Bool { true }
    func retire(isolation: isolated (any Actor)? = #isolation) async {}
    func join(isolation: isolated (any Actor)? = #isolation) async {}
}

extension FlowTarget {
    func followMove() {}
}

enum FlowTargetEvent {
    case completed(CommandBatch, BatchOutcome)
    /// The batch on its way, if there is one, has an unknown fate.
    case lost(TargetError)
    /// Some of the batch that is being written has been taken.
    case hasRoom
    /// Something keeps the batch from being completed. The target goes on trying by itself.
    case away(TargetError)
    /// It goes on.
    case back
    /// Nothing more can be applied in this session.
    case failed(ReplicationError)
}

/// What a target that has been connected to holds.
struct FlowTargetFinding: Equatable {
    /// Changes when the server process does.
    var runID: String
    /// The flow's field of the checkpoint; `nil` also where a file keeps it.
    var checkpoint: String?
    /// Of the flow's mark.
    var beside: UInt64 = 0
}
