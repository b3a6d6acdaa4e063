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
