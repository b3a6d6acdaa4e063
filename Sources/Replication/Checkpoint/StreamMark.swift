package import Dragonfly

/// How far a flow has been applied: its position, and the number of writes beside the stream.
///
/// Values that were read at the source, postponed deadlines and expired elements take no LSN. A target that has lost only
/// such writes is at the same position with a smaller count.
package struct StreamMark: Comparable, Sendable {
    package var next: LSN
    /// The number of the flow's batches that did not advance the position. It never decreases unless the target loses
    /// writes.
    package var beside: UInt64

    package init(next: LSN, beside: UInt64) { (self.next, self.beside) = (next, beside) }

    package static func < (one: Self, other: Self) -> Bool { (one.next, one.beside) < (other.next, other.beside) }
}

extension CheckpointKey {
    /// The field for the `beside` count of a flow's mark; a missing field means 0.
    func besideField(_ flow: FlowID) -> String { "beside:\(flow)" }

    /// Both fields of a flow's mark.
    func fields(of flow: FlowID) -> [String] { [field(flow), besideField(flow)] }

    /// Whether the field belongs to a flow's mark.
    static func isOfMark(_ field: String) -> Bool { field.hasPrefix("flow:") || field.hasPrefix("beside:") }

    func beside(_ flow: FlowID, in fields: [String: String]) -> UInt64 { Self.beside(fields[besideField(flow)]) }

    /// - Parameter text: the value of the field.
    static func beside(_ text: String?) -> UInt64 { text.flatMap { UInt64($0) } ?? 0 }
}
