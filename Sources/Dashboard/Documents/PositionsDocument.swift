import Dragonfly
package import Replication

/// The position that the target has reached in each flow. A cut-over asks for it because it cannot wait for the next beat.
package struct PositionsDocument: JSONDocument, Equatable {
    package var pid: Int32
    package var phase: Phase
    /// The number of the session in the process.
    package var session: Int
    package var targetLost: Bool
    /// For each flow, the first LSN that the target has not confirmed; `nil` before the stable stream.
    package var nextLSNs: [UInt64?]

    init(_ report: TaskReport) {
        let status = report.status
        pid = report.task.processID
        phase = status.phase
        session = status.session
        targetLost = status.isTargetLost
        nextLSNs = report.nextLSNs.map { $0?.value }
    }

    package var isStable: Bool { phase == .stable && !nextLSNs.isEmpty && !nextLSNs.contains(nil) }
}
