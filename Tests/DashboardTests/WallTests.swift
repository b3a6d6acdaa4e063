import Foundation
import Lab
import Replication
import Testing

@testable import Dashboard

/// The dashboard and the alerts of the package: for Grafana and Prometheus.
@Suite struct `The packaged dashboard and alerts` {
    private static let rules = "packaging/prometheus/df2redis.rules.yml"
    private static let dashboard = "packaging/grafana/df2redis.json"

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: repository.appending(path: path), encoding: .utf8)
    }

    /// Names that begin with `df2redis_`, in the expressions of a text.
    private static func names(in text: String) -> Set<String> {
        Set(text.matches(of: /\bdf2redis_[a-z_]+/).map { String($0.output) })
    }

    @Test(arguments: [rules, dashboard]) func `use only metrics and labels that exist`(
        _ path: String
    ) throws {
        var known: [String: Set<String>] = [:]
        for metric in Metric.all {
            let labels = Set(metric.labels).union(["task", "instance", "job", "le"])
            let names =
                metric.kind == .histogram ? ["_bucket", "_sum", "_count"].map { metric.name + $0 } : [metric.name]
            for name in names { known[name] = labels }
        }
        let text = try Self.text(path).replacing("\\\"", with: "\"")
        let used = Self.names(in: text)
        #expect(used.count > 8)
        #expect(used.subtracting(known.keys) == [])
        for match in text.matches(of: /\b(df2redis_[a-z_]+)\{([^}]*)\}/) {
            let labels = Set(match.output.2.matches(of: /([a-z]+)=/).map { String($0.output.1) })
            #expect(labels.subtracting(known[String(match.output.1)] ?? []) == [], "\(match.output.0)")
        }
    }

    @Test func `have panels that do not overlap, with queries by instance and task`() throws {
        let object = try JSONSerialization.jsonObject(with: Data(Self.text(Self.dashboard).utf8)) as? [String: Any]
        let panels = try #require(object?["panels"] as? [[String: Any]])
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
        var cells: Set<[Int]> = []
        for panel in panels {
            let targets = try #require(panel["targets"] as? [[String: Any]])
            #expect(!targets.isEmpty)
            // Tasks of one name on two hosts are two lines.
            for target in targets {
                let legend = try #require(target["legendFormat"] as? String)
                #expect(legend.hasPrefix("{{instance}} {{task}}"), "\(legend)")
                let query = try #require(target["expr"] as? String)
                for match in query.matches(of: /by \(([^)]*)\)/) {
                    #expect(match.output.1.hasPrefix("instance, task"), "\(query)")
                }
            }
            let place = try #require(panel["gridPos"] as? [String: Int])
            let (x, y, width, height) = (place["x"] ?? 0, place["y"] ?? 0, place["w"] ?? 0, place["h"] ?? 0)
            #expect(x + width <= 24)
            for column in x..<x + width {
                for row in y..<y + height { #expect(cells.insert([column, row]).inserted, "\(panel["title"] ?? "")") }
            }
        }
    }

    @Test(.enabled(if: promtool != nil)) func `pass promtool`() throws {
        let folder = try TemporaryFolder("rules")
        let process = try ChildProcess(
            try #require(promtool), ["check", "rules", repository.appending(path: Self.rules).path],
            output: folder.file("output"), error: folder.file("error"))
        #expect(try process.waitForEnd() == .exited(0), "\(process.outputTail(lines: 20))")
    }

    /// An alert, and the labels that it fires with.
    struct Alert: Sendable {
        var name: String
        var labels: [String: String]
    }

    /// A task's counters at its start and for `quietMinutes` minutes, and then with incidents.
    private static func scrapes(quietMinutes: Int) -> String {
        let report = TaskReport(task: TaskDescription(name: "prod"))
        let before = quietMinutes == 0 ? [:] : samples(of: MetricsText(report).text)
        var status = ReplicationStatus(phase: .waiting, source: "a:1", target: "b:2")
        status.incidents = ["bloom-filter": 1]
        status.counters.sessionFailures = ["sourceLost": 6]
        status.counters.fullSyncs = ["first": 1, "buffer-too-short": 3]
        report.take(.phase(status))
        return samples(of: MetricsText(report).text).sorted { $0.key < $1.key }.map { series, value in
            let quiet = before[series].map { "\($0)x\(quietMinutes) " } ?? "_x\(quietMinutes) "
            return "      - {series: '\(series)', values: '\(quiet)\(value)x20'}\n"
        }.joined()
    }

    /// Counters by their series, as Prometheus keeps them.
    private static func samples(of text: String) -> [String: String] {
        var samples: [String: String] = [:]
        for line in text.split(separator: "\n") where line.contains("_total{") {
            guard let end = line.lastIndex(of: " ") else { continue }
            let series = String(line[..<end]).replacing("{", with: "{instance=\"a\",job=\"df2redis\",")
            samples[series] = String(line[line.index(after: end)...])
        }
        return samples
    }

    private static let alerts = [
        Alert(name: "Df2redisIncidents", labels: ["kind": "bloom-filter"]),
        Alert(name: "Df2redisSessionsFail", labels: ["event": "sourceLost"]),
        Alert(name: "Df2redisFullSyncsRepeat", labels: [:]),
    ]

    @Test(.enabled(if: promtool != nil), arguments: alerts) func `fire at the first occurrence`(
        _ alert: Alert
    ) throws {
        try expect([alert], of: alert.name, inScrapes: Self.scrapes(quietMinutes: 5))
    }

    @Test(.enabled(if: promtool != nil)) func `fire for an incident before the first scrape`() throws {
        try expect([Self.alerts[0]], of: Self.alerts[0].name, inScrapes: Self.scrapes(quietMinutes: 0))
    }

    /// Each process is first scraped when its full sync has been counted.
    @Test(.enabled(if: promtool != nil), arguments: [(10, 3, false), (2, 5, true)])
    func `fire only for a task that restarts too often`(_ minutes: Int, _ restarts: Int, _ fires: Bool) throws {
        let starts = (0...restarts).map { "\(1000 + $0 * minutes * 60)x\(minutes - 1)" }.joined(separator: " ")
        let scrapes = [
            ("df2redis_start_time_seconds", starts), ("df2redis_full_syncs_total", "1x60"),
        ].map { "      - {series: '\($0){instance=\"a\",job=\"df2redis\",task=\"prod\"}', values: '\($1)'}\n" }.joined()
        let alert = Alert(name: "Df2redisRestartsRepeat", labels: [:])
        try expect(fires ? [alert] : [], of: alert.name, inScrapes: scrapes, after: minutes * (restarts + 1) - 1)
    }

    @Test(.enabled(if: promtool != nil), arguments: [0, 1]) func `fire while keys cannot be read at the source`(
        _ value: Int
    ) throws {
        let series = "df2redis_refresh_blocked{instance=\"a\",job=\"df2redis\",task=\"prod\"}"
        let alert = Alert(name: "Df2redisRefreshBlocked", labels: [:])
        try expect(
            value == 1 ? [alert] : [], of: alert.name,
            inScrapes: "      - {series: '\(series)', values: '\(value)x20'}\n")
    }

    /// The clock of a test by promtool begins at 0.
    @Test(.enabled(if: promtool != nil), arguments: [(3600, true), (90 * 86_400, false)])
    func `fire for a client certificate that expires soon`(_ end: Int, _ fires: Bool) throws {
        let labels = "instance=\"a\",job=\"df2redis\",side=\"source\",task=\"prod\""
        let series = "df2redis_client_certificate_expiry_seconds{\(labels)}"
        let alert = Alert(name: "Df2redisCertificateEnds", labels: ["side": "source"])
        try expect(
            fires ? [alert] : [], of: alert.name, inScrapes: "      - {series: '\(series)', values: '\(end)x20'}\n")
    }

    private func expect(
        _ alerts: [Alert], of name: String, inScrapes series: String, after minutes: Int = 10
    ) throws {
        let folder = try TemporaryFolder("alerts")
        let expected = alerts.map { alert in
            let labels = ["severity": "warning", "instance": "a", "task": "prod"].merging(alert.labels) { $1 }
            return "{exp_labels: {" + labels.map { "\($0): \($1)" }.joined(separator: ", ") + "}}"
        }
        // promtool compares the annotations too if a rule has them; only the labels matter here.
        let rules = try Self.text(Self.rules).replacing(/(?m)^ +(annotations|summary|description):.*\n/, with: "")
        _ = try folder.write(rules, to: "rules.yml")
        let test = """
            rule_files: [rules.yml]
            evaluation_interval: 1m
            tests:
              - interval: 1m
                input_series:
            \(series)    alert_rule_test:
                  - {eval_time: \(minutes)m, alertname: \(name), exp_alerts: [\(expected.joined(separator: ", "))]}

            """
        let process = try ChildProcess(
            try #require(promtool), ["test", "rules", try folder.write(test, to: "test.yml")],
            output: folder.file("output"), error: folder.file("error"))
        #expect(try process.waitForEnd() == .exited(0), "\(process.outputTail(lines: 30)) \(process.errorOutput)")
    }
}
