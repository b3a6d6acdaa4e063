import Base
import Dragonfly
import Replication

/// A task's state as JSON: the status file, and `/api/status`.
package struct StatusDocument: Sendable {
    private let report: TaskReport
    private let now: TaskState.Moment

    package init(_ report: TaskReport, at now: TaskState.Moment = TaskReport.now()) {
        self.report = report
        self.now = now
    }

    /// One line, with a line feed.
    package var json: String {
        let task = report.task
        let state = report.current
        let status = state.status ?? ReplicationStatus(phase: .connecting, source: task.source, target: task.target)
        let fields =
            [("task", JSONText.quoted(task.name)), ("time", "\(now.milliseconds / 1000)")]
            + Self.fields(status)
            + [
                ("summary", JSONText.quoted(status.summary)),
                ("detail", status.detail.map(JSONText.quoted) ?? "null"),
                ("mode", JSONText.quoted(task.mode)), ("version", JSONText.quoted(task.version)),
                ("pid", "\(task.processID)"), ("startedAt", "\(task.startedAt / 1000)"),
                ("configuration", JSONText.quoted(task.configurationFile)),
                ("phaseSince", "\(state.phaseSince / 1000)"),
                ("dashboard", report.url.map(JSONText.quoted) ?? "null"),
                ("health", Self.json(report.health(at: now), detail: report.detail)),
                ("ready", Self.json(report.readiness(at: now))),
                ("totals", Self.json(state.totals.all)),
                ("refreshes", status.refreshes.map(Self.json) ?? "null"),
                ("verify", status.scrub.map(Self.json) ?? "null"),
                ("verification", status.verification.map { Self.object(Self.fields($0)) } ?? "null"),
            ] + Self.fields(status.counters)
            + [("flows", "[" + status.flows.map(Self.json).joined(separator: ",") + "]")]
        return Self.object(fields) + "\n"
    }

    /// How far the target is at this moment, flow by flow: for a cut-over, which must not wait for the next beat.
    package static func positions(_ report: TaskReport) -> String {
        let status = report.current.status
        let lsns = report.nextLSNs.map { $0.map { "\($0)" } ?? "null" }
        return object([
            ("pid", "\(report.task.processID)"),
            ("phase", JSONText.quoted((status?.phase ?? .connecting).rawValue)), ("session", "\(status?.session ?? 0)"),
            ("targetLost", "\(status?.isTargetLost ?? false)"), ("nextLSNs", "[" + lsns.joined(separator: ",") + "]"),
        ]) + "\n"
    }

    static func object(_ fields: [(name: String, value: String)]) -> String {
        "{" + fields.map { "\"\($0.name)\":\($0.value)" }.joined(separator: ",") + "}"
    }

    private static func fields(_ status: ReplicationStatus) -> [(name: String, value: String)] {
        let isConnected = !status.flows.isEmpty
        func lag(_ value: some CustomStringConvertible) -> String { isConnected ? "\(value)" : "null" }
        let incidents = status.incidents.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
        return [
            ("phase", JSONText.quoted(status.phase.rawValue)), ("source", JSONText.quoted(status.source)),
            ("target", JSONText.quoted(status.target)), ("keys", "\(status.keys)"), ("records", "\(status.records)"),
            ("receivedBytes", "\(status.receivedBytes)"), ("appliedBytes", "\(status.appliedBytes)"),
            ("queuedBytes", "\(status.queuedBytes)"), ("queuedDiskBytes", "\(status.spooledBytes)"),
            ("lagRecords", lag(status.lagRecords)), ("isLagEstimated", lag(status.isLagEstimated)),
            ("lagBytes", lag(status.lagBytes)), ("lagSeconds", lag(status.lag.tenths)),
            ("targetLost", "\(status.isTargetLost)"),
            ("targetLoss", status.targetLoss.map(JSONText.quoted) ?? "null"), ("fullSyncs", "\(status.fullSyncs)"),
            ("incidents", object(incidents)),
        ]
    }

    private static func fields(_ counters: TaskCounters.Values) -> [(name: String, value: String)] {
        func counts(_ values: [String: Int]) -> String {
            object(values.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") })
        }
        func number(_ value: Int?) -> String { value.map { "\($0)" } ?? "null" }
        func milliseconds(_ value: Duration?) -> String {
            value.map { "\(Double(Int64($0 / .microseconds(1))) / 1000)" } ?? "null"
        }
        return [
            ("sessions", "\(counters.sessions)"), ("sessionFailures", counts(counters.sessionFailures)),
            ("targetLosses", "\(counters.targetLosses)"), ("fullSyncReasons", counts(counters.fullSyncs)),
            ("batches", "\(counters.batches.count)"), ("sourceKeys", number(counters.sourceKeys)),
            ("targetKeys", number(counters.targetKeys)),
            ("sourceRoundTripMilliseconds", milliseconds(counters.sourceRoundTrip)),
            ("targetRoundTripMilliseconds", milliseconds(counters.targetRoundTrip)),
        ]
    }

    private static func json(_ refreshes: RefreshQueue.Figures) -> String {
        object([
            ("asked", "\(refreshes.asked)"), ("refreshed", "\(refreshes.refreshed)"),
            ("removed", "\(refreshes.removed)"), ("retried", "\(refreshes.retried)"),
            ("overtaken", "\(refreshes.overtaken)"), ("leftOut", "\(refreshes.leftOut)"),
            ("failed", "\(refreshes.failed)"),
            ("waiting", "\(refreshes.waiting)"),
            ("obstacle", refreshes.obstacle.map(JSONText.quoted) ?? "null"),
        ])
    }

    private static func json(_ scrub: ScrubFigures) -> String {
        object([
            ("passes", "\(scrub.passes)"), ("keys", "\(scrub.progress.keys)"),
            ("expectedKeys", "\(scrub.progress.expectedKeys)"),
            ("lastPassSeconds", scrub.lastPass.map { "\($0.tenths)" } ?? "null"),
            ("secondsLeft", scrub.timeLeft.map { "\($0.tenths)" } ?? "null"), ("found", "\(scrub.found)"),
            ("asked", "\(scrub.asked)"), ("foreign", "\(scrub.foreign)"), ("unplaced", "\(scrub.unplaced)"),
            ("leftOutByPolicy", "\(scrub.progress.leftOut)"),
            ("obstacle", scrub.obstacle.map(JSONText.quoted) ?? "null"),
        ])
    }

    /// A comparison that an operator has asked for.
    static func fields(_ verification: Verification.Figures) -> [(name: String, value: String)] {
        [
            ("number", "\(verification.number)"), ("state", JSONText.quoted(verification.phase.rawValue)),
            ("keysPerSecond", "\(verification.keysPerSecond)"), ("keys", "\(verification.progress.keys)"),
            ("expectedKeys", "\(verification.progress.expectedKeys)"), ("found", "\(verification.found)"),
            ("foreign", "\(verification.foreign)"), ("unplaced", "\(verification.unplaced)"),
            ("leftOut", "\(verification.leftOut)"),
            ("leftOutByPolicy", "\(verification.progress.leftOut)"), ("waiting", "\(verification.waiting)"),
            ("changing", "\(verification.changing)"), ("failed", "\(verification.failed)"),
            ("remaining", "\(verification.remaining)"),
            ("failure", verification.failure.map(JSONText.quoted) ?? "null"),
            ("exitStatus", "\(verification.exitStatus)"),
            ("finishedAt", verification.finishedAt.map { "\($0 / 1000)" } ?? "null"),
        ]
    }

    private static func json(_ totals: FlowTotals.Counts) -> String {
        object([
            ("receivedBytes", "\(totals.receivedBytes)"), ("appliedBytes", "\(totals.appliedBytes)"),
            ("keys", "\(totals.keys)"), ("records", "\(totals.records)"),
        ])
    }

    private static func json(_ flow: ReplicationStatus.Flow) -> String {
        func lsn(_ value: LSN?) -> String { value.map { "\($0)" } ?? "null" }
        return object([
            ("flow", "\(flow.flow)"), ("keys", "\(flow.keys)"), ("records", "\(flow.records)"),
            ("receivedBytes", "\(flow.receivedBytes)"), ("appliedBytes", "\(flow.appliedBytes)"),
            ("queuedBytes", "\(flow.queuedBytes)"), ("queuedDiskBytes", "\(flow.spooledBytes)"),
            ("decodedLSN", lsn(flow.decodedLSN)), ("appliedLSN", lsn(flow.appliedLSN)),
            ("acknowledgedLSN", lsn(flow.acknowledgedLSN)), ("lagRecords", "\(flow.lagRecords)"),
            ("lagBytes", "\(flow.lagBytes)"), ("lagSeconds", flow.lag.tenths),
        ])
    }

    /// `{"status":"ok"}`, or with code and reason.
    /// - Parameter detail: what an operator should do although all is well.
    static func json(_ health: Health, detail: String? = nil) -> String {
        switch health {
        case .good: object([("status", "\"ok\"")] + (detail.map { [("detail", JSONText.quoted($0))] } ?? []))
        case .bad(let code, let reason):
            object([
                ("status", "\"unavailable\""), ("code", JSONText.quoted(code.rawValue)),
                ("reason", JSONText.quoted(reason)),
            ])
        }
    }
}
