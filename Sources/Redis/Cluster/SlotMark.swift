/// A place in a flow's stream: before the record `lsn`, or within it.
///
/// A record whose commands cross slots is done in steps. The commands before its n-th crossing command (from 0) are at step
/// 2n, that command at step 2n + 1.
package struct FlowPosition: Comparable, Hashable, Sendable {
    package var lsn: UInt64
    package var step: UInt32

    package init(lsn: UInt64, step: UInt32 = 0) { (self.lsn, self.step) = (lsn, step) }

    package static func < (a: FlowPosition, b: FlowPosition) -> Bool { (a.lsn, a.step) < (b.lsn, b.step) }
}

/// When something was written: the task's processes in order, and the writes of each.
package struct FlowStamp: Comparable, Hashable, Sendable {
    package var epoch: UInt64
    package var number: UInt64

    package init(epoch: UInt64, number: UInt64) { (self.epoch, self.number) = (epoch, number) }

    /// - Parameter words: the epoch and the number.
    /// - Returns: `nil` if they are not two numbers.
    package init?(_ words: ArraySlice<Substring>) {
        guard words.count == 2, let first = words.first, let last = words.last, let epoch = UInt64(first),
            let number = UInt64(last)
        else { return nil }
        self.init(epoch: epoch, number: number)
    }

    package static func < (a: FlowStamp, b: FlowStamp) -> Bool { (a.epoch, a.number) < (b.epoch, b.number) }
}

/// What a flow notes in a slot, in the transaction of what it writes there.
///
/// ```
/// {<slot's tag>}df2redis:mark:<task>   hash   <flow> -> <replication id> <LSN> <step> <epoch> <number>   in each slot
/// {<slot's tag>}df2redis:node:<task>   hash   <flow> -> the same, and [<epoch> <number>] of its origin  once for each master
/// ```
/// A slot's mark says that everything before its position has been applied in the slot; a node's, that everything before its
/// position has been applied at the node. LSN and step are `-` inside a snapshot, where there are no positions.
package struct SlotMark: Equatable, Sendable {
    package var replicationID: String
    package var position: FlowPosition?
    package var stamp: FlowStamp
    /// In a node's mark: when the flow last began a full sync, or the marks of its slots were last removed. No record from
    /// before can be applied again at the node. `nil` if neither is known to have happened.
    package var origin: FlowStamp?

    package init(replicationID: String, position: FlowPosition?, stamp: FlowStamp, origin: FlowStamp? = nil) {
        (self.replicationID, self.position, self.stamp, self.origin) = (replicationID, position, stamp, origin)
    }

    package var text: String {
        let place = position.map { "\($0.lsn) \($0.step)" } ?? "- -"
        let origin = origin.map { " \($0.epoch) \($0.number)" } ?? ""
        return "\(replicationID) \(place) \(stamp.epoch) \(stamp.number)\(origin)"
    }

    package init?(_ text: String) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 5 || words.count == 7, let stamp = FlowStamp(words[3...4]) else { return nil }
        replicationID = String(words[0])
        self.stamp = stamp
        if words.count == 7 {
            guard let origin = FlowStamp(words[5...6]) else { return nil }
            self.origin = origin
        }
        if words[1] == "-" {
            position = nil
        } else {
            guard let lsn = UInt64(words[1]), let step = UInt32(words[2]) else { return nil }
            position = FlowPosition(lsn: lsn, step: step)
        }
    }

    package static func slotKey(task: String) -> String { "df2redis:mark:\(task)" }
    package static func nodeKey(task: String) -> String { "df2redis:node:\(task)" }
    /// A value that is away from its slot while a command that crosses slots is done.
    package static func temporaryKey(task: String, flow: Int, number: Int) -> String {
        "\(temporaryKeys(task: task))\(flow):\(number)"
    }
    /// What the temporary names of all flows begin with.
    static func temporaryKeys(task: String) -> String { "df2redis:tmp:\(task):" }
}

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
