import Base
import Dragonfly
package import Replication

/// The state of a task: the status file and the answer of `/api/status`. Unknown figures are `null`.
package struct StatusDocument: JSONDocument {
    package struct Totals: Codable, Sendable {
        package var receivedBytes: UInt64
        package var appliedBytes: UInt64
        package var keys: Int
        package var records: Int
    }

    /// The keys that the task reads at the source, in addition to the stream.
    package struct Refreshes: Codable, Sendable {
        package var asked, refreshed, removed, retried, overtaken, leftOut, failed, waiting: Int
        /// Why no keys are read; `nil` if keys are read.
        @OrNull package var obstacle: String?
    }

    /// The continuous comparison of both sides (`verify.keysPerSecond`).
    package struct Verify: Codable, Sendable {
        package var passes: Int
        package var keys: Int
        package var expectedKeys: Int
        @OrNull package var lastPassSeconds: Double?
        @OrNull package var secondsLeft: Double?
        package var found, asked, foreign, unplaced, leftOutByPolicy: Int
        @OrNull package var obstacle: String?
    }

    package struct Flow: Codable, Sendable {
        package var flow: Int
        package var keys: Int
        package var records: Int
        package var receivedBytes: UInt64
        package var appliedBytes: UInt64
        package var queuedBytes: Int
        package var queuedDiskBytes: Int
        @OrNull package var decodedLSN: UInt64?
        @OrNull package var appliedLSN: UInt64?
        @OrNull package var acknowledgedLSN: UInt64?
        package var lagRecords: UInt64
        package var lagBytes: UInt64
        package var lagSeconds: Double
    }

    package var task: String
    /// The time of this status. All times are Unix seconds.
    package var time: Int64
    package var phase: Phase
    package var phaseSince: Int64
    /// The state in one line.
    package var summary: String
    /// What the task waits for.
    @OrNull package var detail: String?
    package var health: HealthDocument
    package var ready: HealthDocument

    package var mode: String
    package var version: String
    package var pid: Int32
    package var startedAt: Int64
    /// The configuration file that the task was started with.
    package var configuration: String
    /// The URL of the page.
    @OrNull package var dashboard: String?
    package var source: String
    package var target: String

    /// Snapshot keys in the current session, as all figures up to `flows`; `totals` covers all sessions of the process.
    package var keys: Int
    package var records: Int
    package var receivedBytes: UInt64
    package var appliedBytes: UInt64
    package var queuedBytes: Int
    package var queuedDiskBytes: Int
    @OrNull package var lagRecords: UInt64?
    /// Whether part of `lagRecords` is estimated from the average record size.
    @OrNull package var isLagEstimated: Bool?
    @OrNull package var lagBytes: UInt64?
    @OrNull package var lagSeconds: Double?
    package var flows: [Flow]
    package var totals: Totals

    package var targetLost: Bool
    /// Why the target does not serve.
    @OrNull package var targetLoss: String?
    package var targetLosses: Int
    package var sessions: Int
    package var sessionFailures: [String: Int]
    package var fullSyncs: Int
    package var fullSyncReasons: [String: Int]
    /// The number of incidents by kind.
    package var incidents: [String: Int]
    package var batches: Int
    @OrNull package var sourceKeys: Int?
    @OrNull package var targetKeys: Int?
    @OrNull package var sourceRoundTripMilliseconds: Double?
    @OrNull package var targetRoundTripMilliseconds: Double?

    @OrNull package var refreshes: Refreshes?
    @OrNull package var verify: Verify?
    /// The last comparison that an operator requested.
    @OrNull package var verification: VerificationDocument?
}

extension StatusDocument {
    package init(_ report: TaskReport, at now: TaskState.Moment = TaskReport.now()) {
        let (task, state, status) = (report.task, report.current, report.status)
        let counters = status.counters
        // Without flows the lag is unknown.
        let isConnected = !status.flows.isEmpty
        self.init(
            task: task.name, time: now.milliseconds / 1000, phase: status.phase, phaseSince: state.phaseSince / 1000,
            summary: status.summary, detail: status.detail,
            health: HealthDocument(report.health(at: now), detail: report.detail),
            ready: HealthDocument(report.readiness(at: now)),
            mode: task.mode, version: task.version, pid: task.processID, startedAt: task.startedAt / 1000,
            configuration: task.configurationFile, dashboard: report.url, source: status.source, target: status.target,
            keys: status.keys, records: status.records, receivedBytes: status.receivedBytes,
            appliedBytes: status.appliedBytes, queuedBytes: status.queuedBytes, queuedDiskBytes: status.spooledBytes,
            lagRecords: isConnected ? status.lagRecords : nil,
            isLagEstimated: isConnected ? status.isLagEstimated : nil,
            lagBytes: isConnected ? status.lagBytes : nil, lagSeconds: isConnected ? status.lag.roundedUpToTenths : nil,
            flows: status.flows.map(Flow.init), totals: Totals(state.totals.all),
            targetLost: status.isTargetLost, targetLoss: status.targetLoss, targetLosses: counters.targetLosses,
            sessions: counters.sessions, sessionFailures: counters.sessionFailures, fullSyncs: status.fullSyncs,
            fullSyncReasons: counters.fullSyncs, incidents: status.incidents, batches: counters.batches.count,
            sourceKeys: counters.sourceKeys, targetKeys: counters.targetKeys,
            sourceRoundTripMilliseconds: counters.sourceRoundTrip?.roundedMilliseconds,
            targetRoundTripMilliseconds: counters.targetRoundTrip?.roundedMilliseconds,
            refreshes: status.refreshes.map(Refreshes.init), verify: status.verifier.map(Verify.init),
            verification: status.verification.map { VerificationDocument($0) })
    }
}

extension StatusDocument.Totals {
    fileprivate init(_ counts: FlowTotals.Counts) {
        self.init(
            receivedBytes: counts.receivedBytes, appliedBytes: counts.appliedBytes, keys: counts.keys,
            records: counts.records)
    }
}

extension StatusDocument.Refreshes {
    fileprivate init(_ figures: RefreshQueue.Figures) {
        self.init(
            asked: figures.asked, refreshed: figures.refreshed, removed: figures.removed, retried: figures.retried,
            overtaken: figures.overtaken, leftOut: figures.leftOut, failed: figures.failed, waiting: figures.waiting,
            obstacle: figures.obstacle)
    }
}

extension StatusDocument.Verify {
    fileprivate init(_ figures: VerifierFigures) {
        self.init(
            passes: figures.passes, keys: figures.progress.keys, expectedKeys: figures.progress.expectedKeys,
            lastPassSeconds: figures.lastPass?.roundedUpToTenths, secondsLeft: figures.timeLeft?.roundedUpToTenths,
            found: figures.found, asked: figures.asked, foreign: figures.foreign, unplaced: figures.unplaced,
            leftOutByPolicy: figures.progress.leftOut, obstacle: figures.obstacle)
    }
}

extension StatusDocument.Flow {
    fileprivate init(_ flow: ReplicationStatus.Flow) {
        self.init(
            flow: flow.flow.index, keys: flow.keys, records: flow.records, receivedBytes: flow.receivedBytes,
            appliedBytes: flow.appliedBytes, queuedBytes: flow.queuedBytes, queuedDiskBytes: flow.spooledBytes,
            decodedLSN: flow.decodedLSN?.value, appliedLSN: flow.appliedLSN?.value,
            acknowledgedLSN: flow.acknowledgedLSN?.value, lagRecords: flow.lagRecords, lagBytes: flow.lagBytes,
            lagSeconds: flow.lag.roundedUpToTenths)
    }
}

extension Duration {
    /// In seconds. Only zero is rounded to zero, as in `tenths`.
    fileprivate var roundedUpToTenths: Double { (self / .milliseconds(100)).rounded(.up) / 10 }
    /// In milliseconds with three decimals.
    fileprivate var roundedMilliseconds: Double { Double(Int64(self / .microseconds(1))) / 1000 }
}

extension Phase: Codable {}
extension Verification.Phase: Codable {}
extension Health.Code: Codable {}
