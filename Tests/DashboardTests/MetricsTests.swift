import Dragonfly
import Foundation
import Lab
import Replication
import Testing

@testable import Dashboard

@Suite struct `The metrics` {
    private func text(_ status: ReplicationStatus?, name: String = "prod") -> String {
        var task = TaskDescription(name: name)
        (task.source, task.target, task.version, task.startedAt) = ("a:1", "b:2", "0.1.0", 1_800_000_000_500)
        let report = TaskReport(task: task)
        if let status { report.take(.phase(status)) }
        return MetricsText(report).text
    }

    private var busy: ReplicationStatus {
        var status = ReplicationStatus(phase: .stable, source: "a:1", target: "b:2")
        var flow = ReplicationStatus.Flow(FlowID(0))
        (flow.receivedBytes, flow.appliedBytes, flow.keys, flow.records) = (1 << 40, 4000, 7, 11)
        (flow.decodedLSN, flow.appliedLSN, flow.lag) = (LSN(.max), LSN(110), .milliseconds(1500))
        status.flows = [flow, .init(FlowID(1))]
        status.session = 1
        status.incidents = ["bloom-filter": 2, "over-limit": 1]
        status.counters.fullSyncs = ["first": 1, "other-master": 2]
        status.counters.batches.note(.milliseconds(3))
        status.counters.batches.note(.seconds(60))
        status.counters.sourceRoundTrip = .microseconds(250)
        return status
    }

    private func value(_ sample: String, in text: String) -> String? {
        text.split(separator: "\n").first { $0.hasPrefix(sample + " ") }.map { String($0.dropFirst(sample.count + 1)) }
    }

    @Test func `have the values of the status, in seconds and bytes`() {
        let text = text(busy)
        #expect(value("df2redis_received_bytes_total{task=\"prod\",flow=\"0\"}", in: text) == "1099511627776")
        #expect(value("df2redis_records_total{task=\"prod\",flow=\"0\"}", in: text) == "11")
        #expect(value("df2redis_lag_seconds{task=\"prod\",flow=\"0\"}", in: text) == "1.5")
        #expect(value("df2redis_phase{task=\"prod\",phase=\"stable\"}", in: text) == "1")
        #expect(value("df2redis_phase{task=\"prod\",phase=\"full sync\"}", in: text) == "0")
        #expect(value("df2redis_full_syncs_total{task=\"prod\",reason=\"other-master\"}", in: text) == "2")
        #expect(value("df2redis_incidents_total{task=\"prod\",kind=\"bloom-filter\"}", in: text) == "2")
        #expect(value("df2redis_source_round_trip_seconds{task=\"prod\"}", in: text) == "0.00025")
        #expect(value("df2redis_start_time_seconds{task=\"prod\"}", in: text) == "1800000000.5")
        #expect(value("df2redis_batch_duration_seconds_bucket{task=\"prod\",le=\"0.0025\"}", in: text) == "0")
        #expect(value("df2redis_batch_duration_seconds_bucket{task=\"prod\",le=\"0.005\"}", in: text) == "1")
        #expect(value("df2redis_batch_duration_seconds_bucket{task=\"prod\",le=\"+Inf\"}", in: text) == "2")
        #expect(value("df2redis_batch_duration_seconds_count{task=\"prod\"}", in: text) == "2")
        #expect(value("df2redis_batch_duration_seconds_sum{task=\"prod\"}", in: text) == "60.003")
        #expect(!text.contains("df2redis_applied_lsn{task=\"prod\",flow=\"1\"}"))
        #expect(Double(value("df2redis_resident_memory_bytes{task=\"prod\"}", in: text) ?? "") ?? 0 > 1_000_000)
        #expect(Double(value("df2redis_cpu_seconds_total{task=\"prod\"}", in: text) ?? "") ?? 0 > 0)
    }

    @Test func `are exactly the declared ones at any time`() {
        for text in [text(nil), text(busy)] {
            let names = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.map {
                $0.split(separator: " ")[2]
            }
            #expect(Set(names.map(String.init)) == Set(Metric.all.map(\.name)))
            #expect(names.count == Metric.all.count)
        }
    }

    @Test func `have the expiry of each client certificate`() {
        let report = TaskReport(task: TaskDescription(name: "prod"))
        report.certificateEnds = ["source": 1_800_000_000, "target.sentinel": 1_900_000_000]
        let text = MetricsText(report).text
        let name = "df2redis_client_certificate_expiry_seconds"
        #expect(value("\(name){task=\"prod\",side=\"source\"}", in: text) == "1800000000.0")
        #expect(value("\(name){task=\"prod\",side=\"target.sentinel\"}", in: text) == "1900000000.0")
    }

    @Test func `have every event, reason and kind with 0 before it happens`() {
        let text = text(nil)
        for event in SessionFailure.allCases {
            #expect(value("df2redis_session_failures_total{task=\"prod\",event=\"\(event)\"}", in: text) == "0")
        }
        for reason in FullSyncKind.allCases {
            #expect(value("df2redis_full_syncs_total{task=\"prod\",reason=\"\(reason.rawValue)\"}", in: text) == "0")
        }
        for kind in IncidentKind.allCases {
            #expect(value("df2redis_incidents_total{task=\"prod\",kind=\"\(kind)\"}", in: text) == "0")
        }
        #expect(Set(IncidentKind.allCases).count == IncidentKind.allCases.count)
    }

    @Test func `are all in the manual page`() throws {
        let manual = try String(contentsOf: repository.appending(path: "packaging/man/df2redis.1"), encoding: .utf8)
        for metric in Metric.all { #expect(manual.contains("\n.B \(metric.name)\n"), "\(metric.name)") }
        for code in Health.Code.allCases {
            let name = code.rawValue.replacingOccurrences(of: "-", with: "\\-")
            #expect(manual.contains(name), "\(name)")
        }
    }

    @Test(.enabled(if: promtool != nil))
    func `pass promtool`() throws {
        let folder = try TemporaryFolder("metrics")
        for text in [text(nil), text(busy), text(busy, name: "a.b_c@d-1")] {
            let input = try folder.write(text, to: "metrics")
            let process = try ChildProcess(
                try #require(promtool), ["check", "metrics"], input: input, output: folder.file("output"),
                error: folder.file("error"))
            #expect(try process.waitForEnd() == .exited(0), "\(process.outputTail(lines: 20))")
            #expect(process.errorOutput.isEmpty, "\(process.errorOutput)")
        }
    }
}

/// Debian's `prometheus` has it.
let promtool = ["/usr/bin/promtool"].first { FileManager.default.isExecutableFile(atPath: $0) }

let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
