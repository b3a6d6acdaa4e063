import Redis
import Wire

/// Asks every node whether it has everything that the flow knows to be confirmed there.
struct NodeInquiry {
    let work: SlotWork
    private let slots: [KeySlot]

    /// - Returns: `nil` if nothing is expected of any node.
    init?(_ watch: NodeWatch, _ field: MarkField) {
        slots = watch.expectedSlots
        if slots.isEmpty { return nil }
        work = SlotWork.inquiry(in: slots, field.question)
    }

    /// Evaluates the answers once `work` is done.
    ///
    /// - Returns: the verdict on the first node that lacks anything; `nil` if none does.
    func gap(_ watch: NodeWatch, in topology: ClusterTopology) -> (slot: KeySlot, verdict: NodeWatch.Verdict)? {
        for (place, slot) in slots.enumerated() {
            let mark = work.values[place]?.text.flatMap { SlotMark($0) }
            let verdict = watch.check(mark, in: slot, of: topology)
            if verdict != .complete { return (slot, verdict) }
        }
        return nil
    }
}
