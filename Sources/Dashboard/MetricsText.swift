import Base
import Dragonfly
import Replication

/// `/metrics`: the exposition format of Prometheus, version 0.0.4.
struct MetricsText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""
    private let task: String

    init(_ report: TaskReport, at now: TaskState.Moment = TaskReport.now(), process: ProcessFigures = .now()) {
        task = "task=\"\(Self.escaped(report.task.name))\""
        let state = report.current
        let status = report.status
        append(report, status, at: now)
        append(state.totals)
        append(status.flows)
        append(status.counters, isTargetLost: status.isTargetLost, incidents: status.incidents)
        append(status.refreshes)
        begin(.certificateExpiry)
        for (side, end) in report.certificateEnds.sorted(by: { $0.key < $1.key }) {
            sample(.certificateExpiry, [("side", side)], Double(end))
        }
        add(.verifyPasses, status.verifier?.passes)
        add(.verifyKeys, status.verifier?.progress.keys)
        add(.verifyFound, status.verifier?.found)
        add(.cpu, process.processorTime.secondsAsDouble)
        add(.resident, process.residentBytes)
        add(.descriptors, process.openDescriptors)
    }

    private mutating func append(_ report: TaskReport, _ status: ReplicationStatus, at now: TaskState.Moment) {
        let task = report.task
        begin(.info)
        sample(
            .info,
            [("mode", task.mode), ("source", status.source), ("target", status.target), ("version", task.version)], 1)
        begin(.phase)
        for phase in Phase.allCases { sample(.phase, [("phase", phase.rawValue)], phase == status.phase ? 1 : 0) }
        add(.healthy, report.health(at: now).isGood ? 1 : 0)
        add(.ready, report.readiness(at: now).isGood ? 1 : 0)
        add(.startTime, Double(task.startedAt) / 1000)
        add(.flows, status.flows.count)
    }

    private mutating func append(_ totals: FlowTotals) {
        let flows = totals.flows
        func each(_ metric: Metric, _ value: (FlowTotals.Counts) -> some Figure) {
            begin(metric)
            for (index, counts) in flows.enumerated() { sample(metric, [("flow", "\(index)")], value(counts)) }
        }
        each(.received) { $0.receivedBytes }
        each(.applied) { $0.appliedBytes }
        each(.keys) { $0.keys }
        each(.records) { $0.records }
    }

    private mutating func append(_ flows: [ReplicationStatus.Flow]) {
        func each(_ metric: Metric, _ value: (ReplicationStatus.Flow) -> (some Figure)?) {
            begin(metric)
            for flow in flows {
                if let value = value(flow) { sample(metric, [("flow", "\(flow.flow)")], value) }
            }
        }
        each(.queued) { $0.queuedBytes }
        each(.queuedDisk) { $0.spooledBytes }
        each(.lagSeconds) { $0.lag.secondsAsDouble }
        each(.lagRecords) { $0.lagRecords }
        each(.lagBytes) { $0.lagBytes }
        each(.targetSilence) { $0.targetSilence.secondsAsDouble }
        each(.appliedLSN) { $0.appliedLSN?.value }
        each(.acknowledgedLSN) { $0.acknowledgedLSN?.value }
    }

    private mutating func append(
        _ counters: TaskCounters.Values, isTargetLost: Bool, incidents: [String: Int]
    ) {
        append(counters.batches)
        add(.sessions, counters.sessions)
        add(.sessionFailures, by: "event", counters.sessionFailures, of: SessionFailure.allCases.map(\.rawValue))
        add(.targetLosses, counters.targetLosses)
        add(.targetLost, isTargetLost ? 1 : 0)
        add(.fullSyncs, by: "reason", counters.fullSyncs, of: FullSyncKind.allCases.map(\.rawValue))
        add(.incidents, by: "kind", incidents, of: IncidentKind.allCases.map(\.description))
        add(.sourceKeys, counters.sourceKeys)
        add(.targetKeys, counters.targetKeys)
        add(.sourceRoundTrip, counters.sourceRoundTrip?.secondsAsDouble)
        add(.targetRoundTrip, counters.targetRoundTrip?.secondsAsDouble)
    }

    private mutating func append(_ refreshes: RefreshQueue.Figures?) {
        add(.refreshAsked, refreshes?.asked)
        begin(.refreshEnds)
        if let refreshes {
            let ends = [
                ("refreshed", refreshes.refreshed), ("overtaken", refreshes.overtaken), ("left-out", refreshes.leftOut),
                ("failed", refreshes.failed),
            ]
            for (end, count) in ends { sample(.refreshEnds, [("end", end)], count) }
        }
        add(.refreshRetries, refreshes?.retried)
        add(.refreshWaiting, refreshes?.waiting)
        add(.refreshBlocked, refreshes.map { $0.obstacle == nil ? 0 : 1 })
    }

    private mutating func append(_ batches: LatencyHistogram) {
        let metric = Metric.batchSeconds
        begin(metric)
        var count = 0
        for (index, inBucket) in batches.counts.enumerated() {
            count += inBucket
            let bounds = LatencyHistogram.bounds
            let end = index < bounds.count ? "\(bounds[index].secondsAsDouble)" : "+Inf"
            sample("\(metric.name)_bucket", [("le", end)], count)
        }
        sample("\(metric.name)_sum", [], batches.sum.secondsAsDouble)
        sample("\(metric.name)_count", [], count)
    }

    // MARK: Lines

    /// A metric with one sample, or none while its value is unknown.
    private mutating func add(_ metric: Metric, _ value: (some Figure)?) {
        begin(metric)
        if let value { sample(metric, [], value) }
    }

    /// A sample for each of `names` from the first scrape on, because `increase()` does not count the first value of a
    /// sample.
    private mutating func add(_ metric: Metric, by label: String, _ values: [String: Int], of names: [String]) {
        begin(metric)
        for name in Set(names).union(values.keys).sorted() { sample(metric, [(label, name)], values[name, default: 0]) }
    }

    private mutating func begin(_ metric: Metric) {
        text += "# HELP \(metric.name) \(metric.help)\n# TYPE \(metric.name) \(metric.kind.rawValue)\n"
    }

    private mutating func sample(_ metric: Metric, _ labels: [(String, String)], _ value: some Figure) {
        sample(metric.name, labels, value)
    }

    private mutating func sample(_ name: String, _ labels: [(String, String)], _ value: some Figure) {
        let all = [task] + labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
        text += "\(name){\(all.joined(separator: ","))} \(value)\n"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}

/// A number whose description is valid for Prometheus.
private protocol Figure: CustomStringConvertible {}
extension Int: Figure {}
extension UInt64: Figure {}
extension Double: Figure {}
