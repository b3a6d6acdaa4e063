package import Dragonfly

/// How far a flow has been applied: its position, and the number of writes beside the stream.
///
/// Values that were read at the source, postponed deadlines and expired elements take no LSN. A target that has lost only
/// such writes is at the same position with a smaller count.
package struct StreamMark: Comparable, Sendable {
    package var next: LSN
    /// The number of the flow's batches that did not advance the position. It never decreases unless the target loses
    /// writes.
    package var outOfStreamCount: UInt64

    package init(next: LSN, outOfStreamCount: UInt64) { (self.next, self.outOfStreamCount) = (next, outOfStreamCount) }

    package static func < (one: Self, other: Self) -> Bool {
        (one.next, one.outOfStreamCount) < (other.next, other.outOfStreamCount)
    }
}

extension CheckpointKey {
    /// The field for the count of out-of-stream batches of a flow's mark; a missing field means 0.
    func outOfStreamField(_ flow: FlowID) -> String { "beside:\(flow)" }

    /// Both fields of a flow's mark.
    func fields(of flow: FlowID) -> [String] { [field(flow), outOfStreamField(flow)] }

    /// Whether the field belongs to a flow's mark.
    static func isOfMark(_ field: String) -> Bool { field.hasPrefix("flow:") || field.hasPrefix("beside:") }

    func outOfStreamCount(_ flow: FlowID, in fields: [String: String]) -> UInt64 {
        Self.outOfStreamCount(fields[outOfStreamField(flow)])
    }

    /// - Parameter text: the value of `outOfStreamField`.
    static func outOfStreamCount(_ text: String?) -> UInt64 { text.flatMap { UInt64($0) } ?? 0 }
}
