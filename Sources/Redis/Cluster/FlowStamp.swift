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
