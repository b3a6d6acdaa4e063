package import Dragonfly

/// How far a flow has been applied: its position, and what has been written beside the stream.
///
/// Values that were read at the source, deadlines that are put off and elements that end take no LSN. A target that has lost
/// only these is at the same position, with a smaller count.
package struct StreamMark: Comparable, Sendable {
    package var next: LSN
    /// Batches of the flow that have left the position where it was; it never becomes smaller, unless the target loses some.
    package var beside: UInt64

    package init(next: LSN, beside: UInt64) { (self.next, self.beside) = (next, beside) }

    package static func < (one: Self, other: Self) -> Bool { (one.next, one.beside) < (other.next, other.beside) }
}

extension CheckpointKey {
    /// The count of a flow's mark; none is 0.
    func besideField(_ flow: FlowID) -> String { "beside:\(flow)" }

    /// Both fields of a flow's mark.
    func fields(of flow: FlowID) -> [String] { [field(flow), besideField(flow)] }

    /// Belongs to the mark of some flow.
    static func isOfMark(_ field: String) -> Bool { field.hasPrefix("flow:") || field.hasPrefix("beside:") }

    func beside(_ flow: FlowID, in fields: [String: String]) -> UInt64 { Self.beside(fields[besideField(flow)]) }

    /// - Parameter text: what the field holds.
    static func beside(_ text: String?) -> UInt64 { text.flatMap { UInt64($0) } ?? 0 }
}
