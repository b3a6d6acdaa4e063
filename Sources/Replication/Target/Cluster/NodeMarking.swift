import Dragonfly
import Redis

/// A flow's mark for every master of a cluster after something other than the flow has removed keys there. The flow is at
/// rest.
struct NodeMarking: Sendable {
    let flow: FlowID
    let mark: SlotMark
    /// What the flow has expected of the masters so far.
    private let watch: NodeWatch

    init(_ flow: FlowID, _ mark: SlotMark, _ watch: NodeWatch) {
        (self.flow, self.mark, self.watch) = (flow, mark, watch)
    }

    /// Returns what the flow expects once these masters have the mark.
    func watch(after masters: [MarkedMaster]) -> NodeWatch {
        var watch = watch
        watch.removed(mark.stamp, at: masters)
        return watch
    }

    /// Combines the marks of all flows; `nil` if there are none, because the target is not a cluster.
    static func marks(_ all: [NodeMarking], task: String) -> NodeMarks? {
        guard !all.isEmpty else { return nil }
        return NodeMarks(task: task, all.map { ("\($0.flow)", $0.mark) }) { masters in
            all.map { (ClusterFields.nodes($0.flow), $0.watch(after: masters).text) }
        }
    }
}
