import Dragonfly
import Link
import Redis

/// The target of a flow. It takes sealed batches and reports the result of each, in order. The code above it does not know
/// about sockets, nodes or slots.
///
/// `StandaloneTarget` is for a single server. A target of many nodes reports a batch as completed once every node has
/// confirmed its part, and reports a loss if it cannot find out by itself what became of a part.
///
/// Confined to the queue of its flow. Events arrive on that queue, also during a call.
protocol FlowTarget: AnyObject {
    /// Receives events until `close`.
    var onEvent: (FlowTargetEvent) -> Void { get set }

    /// Connects, for the first time or again, and reads what the target holds of the flow.
    ///
    /// If the target has not executed something that an earlier connection sent by the time this returns, it never will.
    ///
    /// - Throws: `TargetError`.
    func open(isolation: isolated (any Actor)?) async throws -> FlowTargetFinding

    /// Whether the target is connected and nothing is on its way.
    var isIdle: Bool { get }
    /// How long the target has owed an answer without a sign of life; zero if it owes none.
    var silence: Duration { get }
    /// The node that has been silent for this time, if the target has more than one node.
    var silentNode: Endpoint? { get }

    /// The number of bytes that may be sent while other batches are on their way, if their order does not matter.
    var room: Int { get }
    /// The suggested size of batches that are sent one at a time. It grows with the distance to the target.
    var batchBytes: Int { get }

    /// Sends a batch, which is sealed or is still being built.
    func deliver(_ batch: CommandBatch)
    /// Reports that the batch being written has grown or has been sealed.
    func batchGrew()

    /// Checks for changes that cause no event, once a second: part of an answer has arrived, or the target has moved away
    /// from a server that may stay open and answer nothing.
    func followMove()

    /// Returns the mark for every master of a cluster after something other than the flow has removed keys there. The flow
    /// is at rest.
    ///
    /// - Parameter next: the flow's position after the removal; `nil` if it does not change.
    /// - Returns: `nil` if the target is not a cluster.
    func nodeMarking(next: LSN?) -> NodeMarking?
    /// Reports that these masters have the last marking.
    func nodesMarked(_ masters: [MarkedMaster])
    /// Reports that a global command has been applied together with the flow's position after it. Other notes of the flow
    /// in the target are gone.
    func globalCommandDone(next: LSN)
    /// Whether each current node of a cluster is known to have everything that was confirmed there.
    func hasFoundNodesComplete(isolation: isolated (any Actor)?) async -> Bool
    /// Removes everything in the target that only a batch on its way needs, because everything received has been applied.
    func retire(isolation: isolated (any Actor)?) async
    /// Closes the connections. What becomes of a batch on its way stays unknown.
    func close()
    /// Waits, after `close`, until nothing of the target is running any more.
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
    /// The connection is lost. What became of the batch on its way, if any, is unknown.
    case lost(TargetError)
    /// The target has taken some of the batch that is being written.
    case hasRoom
    /// Something prevents the batch from being completed. The target retries by itself.
    case unavailable(TargetError)
    /// The obstacle is gone.
    case available
    /// Nothing more can be applied in this session.
    case failed(ReplicationError)
}

/// What a target holds of a flow after connecting.
struct FlowTargetFinding: Equatable {
    /// The run ID, which changes with the server process.
    var runID: String
    /// The flow's field of the checkpoint; `nil` if there is none or a file keeps the checkpoint.
    var checkpoint: String?
    /// The count of out-of-stream batches of the flow's mark.
    var outOfStreamCount: UInt64 = 0
}
