import Dragonfly
import Redis
import Wire

/// Reads what a flow must know about a cluster before it writes there.
///
/// Confined to the queue of its flow.
struct ClusterTargetOpening {
    /// The flow's fields in the checkpoint, stored by an earlier process or connection.
    struct Checkpoint {
        let finding: FlowTargetFinding
        /// The marks that are expected of the nodes.
        let watch: NodeWatch
        let lastCrossing: CrossingNote?
        /// Whether the checkpoint has fields of the flow, so that there may be marks too.
        let hasPredecessor: Bool

        /// - Parameter fields: position, nodes, crossing, count of out-of-stream batches; `nil` for a field that the hash
        ///   does not have.
        init?(_ fields: [String?], runID: String) {
            guard fields.count == 4 else { return nil }
            finding = FlowTargetFinding(
                runID: runID, checkpoint: fields[0], outOfStreamCount: CheckpointKey.outOfStreamCount(fields[3]))
            watch = NodeWatch(text: fields[1] ?? "")
            lastCrossing = fields[2].flatMap { CrossingNote(text: $0) }
            hasPredecessor = fields.contains { $0 != nil }
        }
    }

    let flow: FlowID
    let context: FlowContext
    let waiter: WorkWaiter

    /// Reads the flow's fields of the checkpoint.
    ///
    /// - Returns: `nil` if a file keeps the checkpoint.
    func readCheckpoint(isolation: isolated (any Actor)? = #isolation) async throws -> Checkpoint? {
        guard context.checkpoint.store == .target else { return nil }
        let (key, field) = (Array(context.checkpointKey.name.utf8), context.checkpointKey.field(flow))
        let outOfStreamField = context.checkpointKey.outOfStreamField(flow)
        let work = SlotWork.inquiry(in: [KeySlot(of: key)]) { _ in
            [Array("HMGET".utf8), key]
                + [field, ClusterFields.nodes(flow), ClusterFields.crossing(flow), outOfStreamField].map {
                    Array($0.utf8)
                }
        }
        let fields = try await waiter.run(work).values[0]?.array?.map(\.text) ?? []
        return Checkpoint(fields, runID: context.targetRunID)
    }

    /// Reads how far the flow has been applied in each slot that has a mark.
    func readMarks(
        _ field: MarkField, isolation: isolated (any Actor)? = #isolation
    ) async throws -> [(slot: KeySlot, mark: SlotMark)] {
        let work = try await waiter.run(SlotWork.inquiry(in: KeySlot.all, field.question))
        return KeySlot.all.enumerated().compactMap { place, slot in
            work.values[place]?.text.flatMap { SlotMark($0) }.map { (slot: slot, mark: $0) }
        }
    }
}
