/// When something was written: the task's processes in order, and the writes of each.
package struct FlowStamp: Comparable, Hashable, Sendable {
    package var epoch: UInt64
    package var number: UInt64

    package init(epoch: UInt64, number: UInt64) { (self.epoch, self.number) = (epoch, number) }

    package static func < (a: FlowStamp, b: FlowStamp) -> Bool { (a.epoch, a.number) < (b.epoch, b.number) }
}
