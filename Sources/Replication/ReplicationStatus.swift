package import Dragonfly
import Link

/// A task's figures at one moment.
///
/// ```
/// received ≥ decoded ≥ applied ≥ acknowledged        queued = received − decoded        lag = received − applied
/// ```
package struct ReplicationStatus: Equatable, Sendable {
    package struct Flow: Equatable, Sendable {
        /// The assumed size of a record, that of a short key with a short value. Used until an average is known.
        private static let assumedBytesPerRecord = 64.0

        package var flow: FlowID
        /// Bytes of the flow that have been received. Like all figures of a flow, this counts from the start of the
        /// session.
        package var receivedBytes: UInt64 = 0
        /// Bytes of the flow that the target has confirmed or that contain nothing for it.
        package var appliedBytes: UInt64 = 0
        /// The number of bytes that wait to be decoded, in memory and on disk.
        package var queuedBytes = 0
        /// The part of `queuedBytes` that is on disk.
        package var spooledBytes = 0
        /// The next LSN to be decoded, the next one to be applied, and the last one acknowledged; `nil` before the stable
        /// stream.
        package var decodedLSN: LSN?
        package var appliedLSN: LSN?
        package var acknowledgedLSN: LSN?
        package var keys = 0
        package var records = 0
        /// The average size of a journal record in bytes; `nil` while none is known.
        package var bytesPerRecord: Double?
        /// The time since the oldest byte that is not applied arrived; zero if everything is applied.
        package var lag = Duration.zero
        /// How long the target has owed a reply.
        package var targetSilence = Duration.zero

        package init(_ flow: FlowID) { self.flow = flow }

        package init(_ flow: FlowID, _ progress: FlowProgress, _ intake: Intake, acknowledged: LSN?) {
            self.flow = flow
            keys = progress.appliedKeys
            records = progress.appliedRecords
            targetSilence = progress.targetSilence
            acknowledgedLSN = acknowledged
            // Each figure is read after those that must not exceed it.
            appliedLSN = progress.appliedLSN
            decodedLSN = progress.decodedLSN
            appliedBytes = progress.appliedBytes
            bytesPerRecord = progress.bytesPerRecord
            let figures = intake.figures(applied: appliedBytes)
            receivedBytes = figures.receivedBytes
            queuedBytes = figures.queuedBytes
            spooledBytes = figures.spooledBytes
            lag = figures.age
        }

        package var lagBytes: UInt64 { receivedBytes - min(appliedBytes, receivedBytes) }

        /// Records received and not applied. The number of records that wait to be decoded is estimated from the average
        /// size of a record, or from an assumed size before the first record.
        package var lagRecords: UInt64 {
            guard let decodedLSN, let appliedLSN else { return 0 }
            return decodedLSN.value - min(appliedLSN.value, decodedLSN.value) + queuedRecords
        }

        private var queuedRecords: UInt64 {
            guard queuedBytes > 0, decodedLSN != nil else { return 0 }
            return max(1, UInt64(Double(queuedBytes) / max(bytesPerRecord ?? Self.assumedBytesPerRecord, 1)))
        }

        package var isLagEstimated: Bool { queuedRecords > 0 }
    }

    package var phase: Phase
    package var source: String
    package var target: String
    /// Empty while no flow is open.
    package var flows: [Flow]
    /// The number of incidents by kind.
    package var incidents: [String: Int]
    package var fullSyncs: Int
    /// The target does not serve.
    package var isTargetLost = false
    /// The last reason that a connection to the target reported for this.
    package var targetLoss: String?
    /// What the task is waiting for.
    package var detail: String?
    /// The event of the log line about the last session's end, such as `sourceLost`, until the next session begins.
    package var failure: String?
    /// The number of the session in this process, from 1.
    package var session = 0
    package var counters = TaskCounters.Values()
    /// The keys that are read at the source beside the stream; `nil` if none are.
    package var refreshes: RefreshQueue.Figures?
    /// The progress of the comparison of both sides; `nil` if they are not compared all the time.
    package var verifier: VerifierFigures?
    /// The last comparison that an operator requested; `nil` if there was none.
    package var verification: Verification.Figures?

    package init(
        phase: Phase, source: String, target: String, flows: [Flow] = [], incidents: [String: Int] = [:],
        fullSyncs: Int = 0, detail: String? = nil
    ) {
        self.phase = phase
        self.source = source
        self.target = target
        self.flows = flows
        self.incidents = incidents
        self.fullSyncs = fullSyncs
        self.detail = detail
    }

    package var keys: Int { flows.reduce(0) { $0 + $1.keys } }
    package var records: Int { flows.reduce(0) { $0 + $1.records } }
    package var queuedBytes: Int { flows.reduce(0) { $0 + $1.queuedBytes } }
    package var spooledBytes: Int { flows.reduce(0) { $0 + $1.spooledBytes } }
    package var receivedBytes: UInt64 { flows.reduce(0) { $0 + $1.receivedBytes } }
    package var appliedBytes: UInt64 { flows.reduce(0) { $0 + $1.appliedBytes } }
    package var lagRecords: UInt64 { flows.reduce(0) { $0 + $1.lagRecords } }
    package var lagBytes: UInt64 { flows.reduce(0) { $0 + $1.lagBytes } }
    /// The time since the oldest byte of any flow that is not applied arrived.
    package var lag: Duration { flows.map(\.lag).max() ?? .zero }
    /// Part of `lagRecords` is estimated from the size of records.
    package var isLagEstimated: Bool { flows.contains(where: \.isLagEstimated) }

    private var targetState: String {
        let silence = flows.map(\.targetSilence).max() ?? .zero
        if silence >= .seconds(3) { return "; target silent for \(silence.components.seconds) s" }
        return isTargetLost ? "; target lost" : ""
    }

    private var targetKeys: String { counters.targetKeys.map { "\($0) keys at the target, " } ?? "" }

    /// One line for `systemctl status`.
    package var summary: String {
        let waiting = detail.map { ": \($0)" } ?? ""
        return switch phase {
        case .connecting: "connecting to \(source) and \(target)\(waiting)"
        case .fullSync:
            "full sync: \(keys) snapshot keys, \(appliedBytes >> 20) MiB applied, lag \(lagBytes >> 20) MiB, \(lag.tenths) s, "
                + "\(flows.count) flows, \(source) to \(target)\(targetState)"
        case .stable:
            "stable: \(targetKeys)\(records) records applied, lag \(isLagEstimated ? "about " : "")\(lagRecords) records, "
                + "\(lag.tenths) s, \(flows.count) flows, \(source) to \(target)\(targetState)"
        case .waiting: "waiting before another attempt with \(source)\(waiting)"
        case .catchingUp: "the queue was full: \(queuedBytes >> 10) KiB to apply before reconnecting to \(source)"
        case .leaving: "leaving \(source)"
        }
    }
}

extension Duration {
    /// Seconds with one decimal, rounded up, so only zero gives 0.0.
    package var tenths: String {
        let tenths = (self / .milliseconds(100)).rounded(.up)
        let whole = Int64(clamping: Int(tenths))
        return "\(whole / 10).\(whole % 10)"
    }
}
