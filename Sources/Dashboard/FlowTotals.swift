import Dragonfly
import Replication

/// What the flows of all sessions together have received and applied: a flow's own figures begin anew with each session.
package struct FlowTotals: Equatable, Sendable {
    package struct Counts: Equatable, Sendable {
        package var receivedBytes: UInt64 = 0
        package var appliedBytes: UInt64 = 0
        package var keys = 0
        package var records = 0

        static func + (left: Counts, right: Counts) -> Counts {
            var sum = left
            sum.receivedBytes += right.receivedBytes
            sum.appliedBytes += right.appliedBytes
            sum.keys += right.keys
            sum.records += right.records
            return sum
        }
    }

    /// By flow number: of sessions that are over, and of the present one.
    private var past: [Counts] = []
    private var present: [Counts] = []
    private var endedSession = 0

    package init() {}

    /// By flow number.
    package var flows: [Counts] {
        (0..<max(past.count, present.count)).map { index in
            (past.indices.contains(index) ? past[index] : Counts())
                + (present.indices.contains(index) ? present[index] : Counts())
        }
    }

    package var all: Counts { flows.reduce(Counts(), +) }

    /// Figures of a session that is not over; others mean nothing.
    mutating func update(_ status: ReplicationStatus) {
        guard status.session > endedSession, !status.flows.isEmpty else { return }
        for flow in status.flows {
            let index = flow.flow.index
            while present.count <= index { present.append(Counts()) }
            // Notices may overtake each other; a flow's figures only grow.
            guard flow.receivedBytes >= present[index].receivedBytes else { continue }
            present[index] = Counts(
                receivedBytes: flow.receivedBytes, appliedBytes: max(flow.appliedBytes, present[index].appliedBytes),
                keys: max(flow.keys, present[index].keys), records: max(flow.records, present[index].records))
        }
    }

    mutating func sessionEnded(_ status: ReplicationStatus) {
        guard status.session > endedSession else { return }
        update(status)
        endedSession = status.session
        past = flows
        present = []
    }
}
