import Wire

/// A master that has been given marks, and its slot that holds them.
package struct MarkedMaster: Equatable, Sendable {
    package var shard: ClusterTopology.Shard
    package var slot: KeySlot

    package init(shard: ClusterTopology.Shard, slot: KeySlot) { (self.shard, self.slot) = (shard, slot) }
}

/// Marks of a task's flows that are written at every master after a removal that no flow makes.
///
/// A replica that takes a master's place without these marks may lack the removal.
package struct NodeMarks: Sendable {
    /// Makes the checkpoint's note about the marked masters.
    let note: @Sendable ([MarkedMaster]) -> [(field: String, value: String)]
    private let name: String
    private let marks: [[UInt8]]

    /// - Parameter marks: the mark of each flow, with the name of its field.
    package init(
        task: String, _ marks: [(field: String, mark: SlotMark)],
        note: @escaping @Sendable ([MarkedMaster]) -> [(field: String, value: String)]
    ) {
        name = SlotMark.nodeKey(task: task)
        self.marks = marks.flatMap { [Array($0.field.utf8), Array($0.mark.text.utf8)] }
        self.note = note
    }

    func command(in slot: KeySlot) -> [[UInt8]] { ["HSET".bytes, SlotTag.key(name, in: slot)] + marks }
}

extension TargetControl {
    /// Whether a flow of the task has left a mark of the stable stream at any master of a cluster.
    package func hasStableMarks(of task: String) async throws(TargetError) -> Bool {
        try await servers.hasStableMarks(of: task)
    }

    /// Writes the marks at every master, after everything else that this control did there is confirmed.
    package func leave(_ marks: NodeMarks) async throws(TargetError) -> [MarkedMaster] {
        while true {
            let layout = try await ClusterLayout.read(servers)
            let masters = layout.markedMasters
            for master in masters {
                let command = marks.command(in: master.slot)
                _ = try await demand(command, at: command[1], in: 0)
            }
            // If slots have moved, a mark may have been written at another master than intended.
            if try await ClusterLayout.read(servers).ownership == layout.ownership { return masters }
        }
    }

    /// Writes the marks at every master and notes them in the checkpoint.
    package func leave(_ marks: NodeMarks, notedIn checkpoint: String) async throws(TargetError) -> [MarkedMaster] {
        let masters = try await leave(marks)
        let words = marks.note(masters).flatMap { [$0.field, $0.value] }
        _ = try await demand(["HSET", checkpoint] + words, at: checkpoint, in: 0)
        return masters
    }
}
