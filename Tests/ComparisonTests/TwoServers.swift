import Comparison
import Dragonfly
import Lab
import Link
import Redis
import Servers
import Testing

/// Two real servers to compare. A redis-server takes the place of the source: the comparison needs nothing that it lacks,
/// except the position in the journal.
final class TwoServers {
    let source: RedisServer
    let target: RedisServer
    let onSource: RESPClient
    let onTarget: RESPClient

    init() throws {
        source = try RedisServer()
        target = try RedisServer()
        onSource = try source.client()
        onTarget = try target.client()
    }

    deinit {
        source.stop()
        target.stop()
    }

    func onBoth(_ words: String...) throws { try onBoth(words) }

    func onBoth(_ words: [String]) throws {
        try onSource.command(words)
        try onTarget.command(words)
    }

    /// Adds elements to a key on both sides.
    func fill(_ head: [String], count: Int, _ element: (Int) -> [String]) throws {
        for start in stride(from: 0, to: count, by: 500) {
            try onBoth(head + (start..<min(count, start + 500)).flatMap(element))
        }
    }

    var pair: ServerPair {
        ServerPair(
            source: SourceSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: source.port), clientID: "", displayName: ""),
            target: TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: target.port), clientName: "df2redis-check:test"))
    }

    /// Compares both servers, and returns the differing keys as `kind type key`.
    func compare(
        _ change: (inout ComparisonOptions) -> Void = { _ in }
    ) async throws -> (summary: ComparisonSummary, differences: [String]) {
        var options = ComparisonOptions(checkpointKey: "df2redis:checkpoint:test")
        options.settle = .milliseconds(100)
        options.parallel = 2
        change(&options)
        let found = Lock<[KeyDifference]>([])
        let summary = try await Comparison(
            pair, options: options, onDifference: { difference in found.withLock { $0.append(difference) } }
        ).run()
        let differences = found.withLock { $0 }
        #expect(summary.differenceCount == differences.count)
        return (
            summary,
            differences.map { "\($0.kind.rawValue) \($0.type) \(String(decoding: $0.key, as: UTF8.self))" }.sorted()
        )
    }
}
