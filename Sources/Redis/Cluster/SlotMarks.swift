/// What is known of a flow's marks in the slots.
package struct SlotMarks: Sendable {
    private var positions: [FlowPosition?] = []
    /// The furthest of them.
    private var end = FlowPosition(lsn: 0)
    /// Slots where the flow has left a mark.
    package private(set) var slots: Set<KeySlot> = []

    package init() {}

    /// What an earlier process has left in a slot.
    package mutating func found(_ mark: SlotMark?, in slot: KeySlot, replicationID: String) {
        guard let mark else { return }
        slots.insert(slot)
        guard mark.replicationID == replicationID, let position = mark.position else { return }
        if positions.isEmpty { positions = [FlowPosition?](repeating: nil, count: KeySlot.count) }
        positions[Int(slot.number)] = position
        end = max(end, position)
    }

    package mutating func wrote(in slot: KeySlot) { slots.insert(slot) }

    /// Nothing before `position` comes any more.
    package mutating func passed(_ position: FlowPosition) {
        if position >= end { positions = [] }
    }

    /// Something may have been applied already.
    package var areRelevant: Bool { !positions.isEmpty }

    /// What is at `position` has been applied in `slot`.
    package func cover(_ position: FlowPosition, in slot: KeySlot) -> Bool {
        guard !positions.isEmpty, let mark = positions[Int(slot.number)] else { return false }
        return position < mark
    }

    /// All keys of the target have been removed.
    package mutating func removeAll() { self = SlotMarks() }
}
