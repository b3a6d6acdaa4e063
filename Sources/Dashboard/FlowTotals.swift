import Dragonfly
import Replication

/// The figures of each flow over all sessions. (A flow's own figures begin anew with each session.)
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

    /// The counts of ended sessions and of the present one, by flow number.
    private var past: [Counts] = []
    private var present: [Counts] = []
    private var endedSession = 0

    package init() {}

    /// The counts of all sessions, by flow number.
    package var flows: [Counts] {
        (0..<max(past.count, present.count)).map { index in
            (past.indices.contains(index) ? past[index] : Counts())
                + (present.indices.contains(index) ? present[index] : Counts())
        }
    }

    package var all: Counts { flows.reduce(Counts(), +) }

    /// Takes in the figures of the present session; ignores those of ended sessions.
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
