/// A journal sequence number of one flow. A position is always the **next** LSN wanted, whether it is acknowledged, stored
/// or requested (Protocol 4.4).
package struct LSN: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package var description: String { String(value) }

    package static func < (a: LSN, b: LSN) -> Bool { a.value < b.value }
}
