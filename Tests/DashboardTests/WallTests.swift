import Foundation
import Lab
import Testing

@testable import Dashboard

/// The dashboard and the alerts of the package: for Grafana and Prometheus.
@Suite struct `What hangs on the wall` {
    private static let rules = "packaging/prometheus/df2redis.rules.yml"
    private static let dashboard = "packaging/grafana/df2redis.json"

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: repository.appending(path: path), encoding: .utf8)
    }

    /// Names that begin with `df2redis_`, in the expressions of a text.
    private static func names(in text: String) -> Set<String> {
        Set(text.matches(of: /\bdf2redis_[a-z_]+/).map { String($0.output) })
    }

    @Test(arguments: [rules, dashboard]) func `names metrics that exist, with labels that they have`(
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

    @Test func `is a dashboard of panels with a query each, and one in the place of one`() throws {
        let object = try JSONSerialization.jsonObject(with: Data(Self.text(Self.dashboard).utf8)) as? [String: Any]
        let panels = try #require(object?["panels"] as? [[String: Any]])
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
        var cells: Set<[Int]> = []
        for panel in panels {
            #expect((panel["targets"] as? [[String: Any]])?.isEmpty == false)
            let place = try #require(panel["gridPos"] as? [String: Int])
            let (x, y, width, height) = (place["x"] ?? 0, place["y"] ?? 0, place["w"] ?? 0, place["h"] ?? 0)
            #expect(x + width <= 24)
            for column in x..<x + width {
                for row in y..<y + height { #expect(cells.insert([column, row]).inserted, "\(panel["title"] ?? "")") }
            }
        }
    }

    @Test(.enabled(if: promtool != nil)) func `passes promtool`() throws {
        let folder = try TemporaryFolder("rules")
        let process = try ChildProcess(
            try #require(promtool), ["check", "rules", repository.appending(path: Self.rules).path],
            output: folder.file("output"), error: folder.file("error"))
        #expect(try process.waitForEnd() == .exited(0), "\(process.outputTail(lines: 20))")
    }
}
