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
