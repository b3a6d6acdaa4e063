import Base
import Dragonfly
package import Replication

/// A task's state: the status file, and `/api/status`. A figure that is not known is `null`.
package struct StatusDocument: JSONDocument {
    package struct Totals: Codable, Sendable {
        package var receivedBytes: UInt64
        package var appliedBytes: UInt64
        package var keys: Int
        package var records: Int
    }

    /// Keys that are read at the source beside the stream.
    package struct Refreshes: Codable, Sendable {
        package var asked, refreshed, removed, retried, overtaken, leftOut, failed, waiting: Int
        /// Why nothing is read at present.
        @OrNull package var obstacle: String?
    }

    /// Both sides compared over and over (`verify.keysPerSecond`).
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
    /// This moment, in Unix seconds as all times here are.
    package var time: Int64
    package var phase: Phase
    package var phaseSince: Int64
    /// One line.
    package var summary: String
    /// What is being waited for.
    @OrNull package var detail: String?
    package var health: HealthDocument
    package var ready: HealthDocument

    package var mode: String
    package var version: String
    package var pid: Int32
    package var startedAt: Int64
    /// The file that it was started with.
    package var configuration: String
    /// Where its page is.
    @OrNull package var dashboard: String?
    package var source: String
    package var target: String

    /// Of the present session, like all figures of flows; `totals` are of all sessions of the process.
    package var keys: Int
    package var records: Int
    package var receivedBytes: UInt64
    package var appliedBytes: UInt64
    package var queuedBytes: Int
    package var queuedDiskBytes: Int
    @OrNull package var lagRecords: UInt64?
    /// Part of `lagRecords` is reckoned by the size of a record.
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
    /// What could not be replicated or differs, by kind.
    package var incidents: [String: Int]
    package var batches: Int
    @OrNull package var sourceKeys: Int?
    @OrNull package var targetKeys: Int?
    @OrNull package var sourceRoundTripMilliseconds: Double?
    @OrNull package var targetRoundTripMilliseconds: Double?

    @OrNull package var refreshes: Refreshes?
    @OrNull package var verify: Verify?
    /// The last pass that an operator has asked for.
    @OrNull package var verification: VerificationDocument?
}

extension StatusDocument {
    package init(_ report: TaskReport, at now: TaskState.Moment = TaskReport.now()) {
        let (task, state, status) = (report.task, report.current, report.status)
        let counters = status.counters
        // Without flows nothing is known of a lag.
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
            refreshes: status.refreshes.map(Refreshes.init), verify: status.scrub.map(Verify.init),
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
    fileprivate init(_ figures: ScrubFigures) {
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
    /// In seconds: only nothing is 0 (as `tenths` has it).
    fileprivate var roundedUpToTenths: Double { (self / .milliseconds(100)).rounded(.up) / 10 }
    /// With three decimals.
    fileprivate var roundedMilliseconds: Double { Double(Int64(self / .microseconds(1))) / 1000 }
}

extension Phase: Codable {}
extension Verification.Phase: Codable {}
extension Health.Code: Codable {}
