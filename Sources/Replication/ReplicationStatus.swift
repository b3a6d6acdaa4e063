package import Dragonfly

/// Where a task stands.
package enum Phase: String, Sendable {
    case connecting = "connecting"
    case fullSync = "full sync"
    case stable = "stable"
    case waiting = "waiting"
    /// There was no room left: what was received is applied before the source is tried again.
    case catchingUp = "catching up"
    case leaving = "leaving"
}

/// A task's figures at one moment. Received, applied and acknowledged are different figures.
package struct ReplicationStatus: Equatable, Sendable {
    package struct Flow: Equatable, Sendable {
        package var flow: FlowID
        package var queuedBytes: Int
        package var decodedLSN: LSN?
        package var appliedLSN: LSN?
        package var keys: Int
        package var records: Int
        package var appliedBytes: UInt64
    }

    package var phase: Phase
    package var source: String
    package var target: String
    package var flows: [Flow]
    /// Incidents by kind.
    package var incidents: [String: Int]
    package var fullSyncs: Int

    package var keys: Int { flows.reduce(0) { $0 + $1.keys } }
    package var records: Int { flows.reduce(0) { $0 + $1.records } }
    package var queuedBytes: Int { flows.reduce(0) { $0 + $1.queuedBytes } }
    package var appliedBytes: UInt64 { flows.reduce(0) { $0 + $1.appliedBytes } }
    /// Records that are decoded and not applied.
    package var lagRecords: UInt64 {
        flows.reduce(0) {
            $0 + (($1.decodedLSN?.value ?? 0) - min($1.appliedLSN?.value ?? 0, $1.decodedLSN?.value ?? 0))
        }
    }

    /// One line for `systemctl status`.
    package var summary: String {
        switch phase {
        case .connecting: "connecting to \(source)"
        case .fullSync: "full sync: \(keys) keys, \(appliedBytes >> 20) MiB from \(source) to \(target)"
        case .stable:
            "stable: lag \(lagRecords) records, \(queuedBytes >> 10) KiB queued, \(flows.count) flows, \(source) to \(target)"
        case .waiting: "waiting before another attempt with \(source)"
        case .catchingUp: "no room was left: \(queuedBytes >> 10) KiB to apply before \(source) is tried again"
        case .leaving: "leaving \(source)"
        }
    }
}

/// What an operator or the service manager wants to know when it happens.
package enum ReplicatorNotice: Sendable {
    case phase(ReplicationStatus)
    /// The flows are open and the sync has begun.
    case ready(ReplicationStatus)
    /// Once a second, from the coordinator, while it is alive.
    case beat(ReplicationStatus)
}

/// What a run came to.
package struct ReplicationSummary: Sendable {
    package var keys = 0
    package var records = 0
    package var expiredKeys = 0
    package var conflictingKeys = 0
    package var incidents: [String: Int] = [:]
    package var fullSyncs = 0

    package init() {}
}
