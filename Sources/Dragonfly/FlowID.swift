/// A flow of a session: the number of the master's shard it carries.
package struct FlowID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let index: Int

    package init(_ index: Int) { self.index = index }

    package var description: String { String(index) }

    package static func < (a: FlowID, b: FlowID) -> Bool { a.index < b.index }
}

/// A journal sequence number of one flow. Positions are always the **next** LSN wanted: what is acknowledged, stored
/// and asked for (Protocol 4.4).
package struct LSN: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package var description: String { String(value) }

    package static func < (a: LSN, b: LSN) -> Bool { a.value < b.value }
}

/// Where a master's streams can be taken up again: its replication id and the next LSN of every flow, as one unit.
package struct ResumePoint: Equatable, Sendable {
    package var replicationID: String
    /// By flow number.
    package var nextLSNs: [LSN]

    package init(replicationID: String, nextLSNs: [LSN]) {
        self.replicationID = replicationID
        self.nextLSNs = nextLSNs
    }
}
