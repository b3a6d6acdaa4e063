import Dragonfly
import Redis
import Wire

/// Builds the work that removes a flow's own keys and marks from a cluster. Pure.
struct ClusterCleanup {
    let flow: FlowID
    let task: String
    let checkpoint: CheckpointKey
    let slotField: MarkField
    let nodeField: MarkField

    init(_ flow: FlowID, _ context: FlowContext) {
        (self.flow, task, checkpoint) = (flow, context.task, context.checkpointKey)
        slotField = .ofSlots(task: context.task, flow: flow.index)
        nodeField = .ofNodes(task: context.task, flow: flow.index)
    }

    /// Removes values that are left under temporary names.
    ///
    /// - Parameter removesMarks: whether the flow's marks are removed too.
    func temporaries(in databases: Set<UInt32>, removesMarks: Bool) -> SlotWork {
        let work = SlotWork.maintenance()
        let names = (0..<2).map { SlotMark.temporaryKey(task: task, flow: flow.index, number: $0) }
        for slot in KeySlot.all {
            let part = work.addPart(slot)
            for database in databases.sorted() {
                // One key per command: while a slot is moving between two nodes, no node can remove both keys.
                for name in names {
                    work.append(
                        ["UNLINK".bytes, SlotTag.key(name, in: slot)], to: part, database: database,
                        mayRepeat: true)
                }
            }
            guard removesMarks else { continue }
            for field in [slotField, nodeField] {
                work.append(field.removal(in: slot), to: work.addPart(slot), mayRepeat: true)
            }
        }
        work.endDatabases()
        return work
    }

    /// Updates what the flow has noted in the checkpoint's slot besides its position.
    ///
    /// - Parameter watch: what is expected of the nodes from now on; `nil` if nothing is.
    func notes(expecting watch: NodeWatch?) -> SlotWork {
        let key = checkpoint.name.bytes
        let work = SlotWork.maintenance()
        let part = work.addPart(KeySlot(of: key))
        let (nodes, crossing) = (ClusterFields.nodes(flow).bytes, ClusterFields.crossing(flow).bytes)
        if let watch {
            work.append(["HSET".bytes, key, nodes, watch.text.bytes], to: part, mayRepeat: true)
            work.append(["HDEL".bytes, key, crossing], to: part, mayRepeat: true)
        } else {
            work.append(["HDEL".bytes, key, nodes, crossing], to: part, mayRepeat: true)
        }
        // A flow at rest has no flush pending. If a node still has the notice, it has lost the removal of the notice.
        let notice = FlushNotice.key(ofCheckpoint: checkpoint.name).bytes
        work.append(["UNLINK".bytes, notice], to: part, mayRepeat: true)
        return work
    }

    /// Writes marks of nodes.
    func nodeMarks(in slots: [KeySlot], _ mark: () -> SlotMark) -> SlotWork {
        let work = SlotWork.maintenance()
        for slot in slots { work.append(nodeField.setting(mark(), in: slot), to: work.addPart(slot), mayRepeat: true) }
        return work
    }

    func marks(ofNodes nodes: [KeySlot], ofSlots slots: [KeySlot]) -> SlotWork {
        let work = SlotWork.maintenance()
        for (field, slots) in [(nodeField, nodes), (slotField, slots)] {
            for slot in slots { work.append(field.removal(in: slot), to: work.addPart(slot), mayRepeat: true) }
        }
        return work
    }
}
