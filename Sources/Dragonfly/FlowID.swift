/// A flow of a session, identified by the number of the master's shard that it carries.
package struct FlowID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let index: Int

    package init(_ index: Int) { self.index = index }

    package var description: String { String(index) }

    package static func < (a: FlowID, b: FlowID) -> Bool { a.index < b.index }
}
