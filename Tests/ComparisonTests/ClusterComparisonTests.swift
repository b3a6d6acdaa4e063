import Comparison
import Dragonfly
import Lab
import Link
import Redis
import Servers
import Testing

/// A server in the source's place and a cluster as the target.
private final class ServerAndCluster {
    let source: RedisServer
    let cluster: RedisCluster
    let onSource: RESPClient

    init() throws {
        source = try RedisServer()
        cluster = try RedisCluster(replicas: 0)
        onSource = try source.client()
    }

    deinit {
        source.stop()
        cluster.stop()
    }

    func onBoth(_ words: String...) throws {
        try onSource.command(words)
        try cluster.command(words, key: words[1])
    }

    var pair: ServerPair {
        var target = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: cluster.nodes[0].port), clientName: "df2redis-check:test")
        target.cluster = ClusterAddresses(seeds: [target.endpoint])
        return ServerPair(
            source: SourceSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: source.port), clientID: "", displayName: ""),
            target: target)
    }

    /// Compares, and returns the differing keys as `kind type key`.
    func compare() async throws -> (summary: ComparisonSummary, differences: [String]) {
        var options = ComparisonOptions(checkpointKey: "df2redis:checkpoint:test")
        options.settle = .milliseconds(100)
        let found = Lock<[KeyDifference]>([])
        let summary = try await Comparison(
            pair, options: options, onDifference: { difference in found.withLock { $0.append(difference) } }
        ).run()
        return (
            summary,
            found.withLock { $0 }.map { "\($0.kind.rawValue) \($0.type) \(String(decoding: $0.key, as: UTF8.self))" }
                .sorted()
        )
    }
}

extension RunAlone {
    @Suite struct `A comparison with a cluster` {}
}

extension RunAlone.`A comparison with a cluster` {
    @Test func `reads each key at the master of its slot, also while slots move`() async throws {
        let servers = try ServerAndCluster()
        for index in 0..<600 {
            try servers.onBoth("SET", "key:\(index)", "\(index)")
            try servers.onBoth("HSET", "hash:\(index)", "f", "\(index)", "g", "v")
        }
        try servers.onBoth("SET", "large", String(repeating: "x", count: 20_000))
        for start in stride(from: 0, to: 3000, by: 500) {
            let members = (start..<start + 500).map { "m\($0)" }
            try servers.onSource.command(["SADD", "set"] + members)
            try servers.cluster.command(["SADD", "set"] + members, key: "set")
        }
        // Keys of a running task.
        try servers.cluster.command(["HSET", "{abc}df2redis:mark:test", "0", "m"], key: "{abc}x")
        try servers.cluster.command(["HSET", "df2redis:tasks", "df2redis:checkpoint:test", "0"], key: "df2redis:tasks")
        var (summary, differences) = try await servers.compare()
        #expect(differences == [])
        #expect(summary.isEqual && summary.keys == 1202)

        let masters = try servers.cluster.masters()
        try servers.cluster.moveSlots(100..<160, from: masters[0], to: masters[1])
        let slot = ClusterSlot.of(Array("large".utf8))
        let owner = try servers.cluster.master(of: "large")
        let other = try #require(masters.first { $0 !== owner })
        try servers.cluster.beginMoving(slot, from: owner, to: other)
        try owner.client().command("MIGRATE", "127.0.0.1", "\(other.server.port)", "large", "0", "1000")
        (summary, differences) = try await servers.compare()
        #expect(differences == [], "one key is found by ASK")

        try servers.cluster.moveSlots([slot], from: owner, to: other)
        try servers.onSource.command("DEL", "key:1")
        try servers.onSource.command("SET", "key:2", "9")
        try servers.onSource.command("HSET", "new", "f", "v")
        (summary, differences) = try await servers.compare()
        #expect(differences == ["extra string key:1", "missing hash new", "value string key:2"])
    }
}
