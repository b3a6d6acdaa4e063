/// A flow of a session, identified by the number of the master's shard that it carries.
package struct FlowID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let index: Int

    package init(_ index: Int) { self.index = index }

    package var description: String { String(index) }

    package static func < (a: FlowID, b: FlowID) -> Bool { a.index < b.index }
}

/// A journal sequence number of one flow. A position is always the **next** LSN wanted, whether it is acknowledged, stored
/// or requested (Protocol 4.4).
package struct LSN: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package var description: String { String(value) }

    package static func < (a: LSN, b: LSN) -> Bool { a.value < b.value }
}

/// The position at which a master's streams can be resumed: its replication id and the next LSN of every flow, as one unit.
package struct ResumePoint: Equatable, Sendable {
    package var replicationID: String
    /// By flow number.
    package var nextLSNs: [LSN]

    package init(replicationID: String, nextLSNs: [LSN]) {
        self.replicationID = replicationID
        self.nextLSNs = nextLSNs
    }
}
