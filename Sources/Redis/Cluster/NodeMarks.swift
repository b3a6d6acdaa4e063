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

extension NodeMarks {
    /// Gives every master its marks.
    ///
    /// - Parameter choose: the slot of each master that gets them.
    func leave(
        at servers: TargetServers, _ choose: (ClusterLayout) -> [MarkedMaster] = { $0.markedMasters }
    ) async throws(TargetError) -> [MarkedMaster] {
        while true {
            let masters = choose(try await ClusterLayout.read(servers))
            for master in masters { try await execute(command(in: master.slot), at: servers) }
            // Otherwise a mark may have come to another master than the one that it is for.
            let now = try await ClusterLayout.read(servers)
            if masters.allSatisfy({ now.master(of: $0.slot) == $0.shard.master }) { return masters }
        }
    }

    /// The same, and notes it in the checkpoint.
    func leave(
        at servers: TargetServers, notedIn checkpoint: String,
        _ choose: (ClusterLayout) -> [MarkedMaster] = { $0.markedMasters }
    ) async throws(TargetError) -> [MarkedMaster] {
        let masters = try await leave(at: servers, choose)
        let words = note(masters).flatMap { [Array($0.field.utf8), Array($0.value.utf8)] }
        try await execute([Array("HSET".utf8), Array(checkpoint.utf8)] + words, at: servers)
        return masters
    }

    private func execute(_ command: [[UInt8]], at servers: TargetServers) async throws(TargetError) {
        _ = try await servers.at(command[1]) { (server) throws(TargetError) in
            try await server.execute(command, in: 0)
        }
    }
}

extension TargetControl {
    /// Whether a flow of the task has left a mark of the stable stream at any master of a cluster.
    package func hasStableMarks(of task: String) async throws(TargetError) -> Bool {
        try await servers.hasStableMarks(of: task)
    }

    /// Writes the marks at every master, after everything else that this control did there is confirmed.
    package func leave(_ marks: NodeMarks) async throws(TargetError) -> [MarkedMaster] {
        try await marks.leave(at: servers)
    }

    /// Writes the marks at every master and notes them in the checkpoint.
    package func leave(_ marks: NodeMarks, notedIn checkpoint: String) async throws(TargetError) -> [MarkedMaster] {
        try await marks.leave(at: servers, notedIn: checkpoint)
    }
}
