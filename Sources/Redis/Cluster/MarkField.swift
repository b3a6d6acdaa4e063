package import Wire

/// Where a flow's marks are: in a field of a hash that each slot, or one slot of each master, has under its own name.
package struct MarkField: Sendable {
    /// Of the hash, without the slot's tag.
    private let name: [UInt8]
    private let field: [UInt8]

    private init(_ name: String, flow: Int) { (self.name, field) = (name.bytes, "\(flow)".bytes) }

    /// How far a flow has been applied in each slot.
    package static func ofSlots(task: String, flow: Int) -> MarkField {
        .init(SlotMark.slotKey(task: task), flow: flow)
    }

    /// What a flow has last written at each master.
    package static func ofNodes(task: String, flow: Int) -> MarkField {
        .init(SlotMark.nodeKey(task: task), flow: flow)
    }

    /// The command that asks for the mark in a slot.
    package func question(in slot: KeySlot) -> [[UInt8]] { ["HGET".bytes, SlotTag.key(name, in: slot), field] }

    /// The command that removes the mark from a slot.
    package func removal(in slot: KeySlot) -> [[UInt8]] { ["HDEL".bytes, SlotTag.key(name, in: slot), field] }

    /// The command that leaves a mark in a slot.
    package func setting(_ mark: SlotMark, in slot: KeySlot) -> [[UInt8]] {
        [Array("HSET".utf8), SlotTag.key(name, in: slot), field, Array(mark.text.utf8)]
    }

    /// Appends the command that leaves a mark in a slot.
    package func append(_ mark: SlotMark, in slot: KeySlot, to out: inout ByteBuffer) {
        out.appendCommandHead(4)
        out.appendBulk("HSET")
        out.appendBulk(SlotTag.key(name, in: slot))
        out.appendBulk(field)
        out.appendBulk(utf8: mark.text)
    }
}
