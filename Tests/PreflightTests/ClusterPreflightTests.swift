import Dragonfly
import DragonflySimulator
import Lab
import Link
import Preflight
import Redis
import Testing

/// Runs a preflight with a cluster as the target.
///
/// - Parameter source: the port of what is named as the source.
private func preflight(
    source: UInt16, _ cluster: RedisCluster, _ change: (inout PreflightOptions) -> Void = { _ in }
) async -> [PreflightFinding] {
    var target = TargetSettings(
        endpoint: Endpoint(host: "127.0.0.1", port: cluster.nodes[0].port), clientName: "df2redis-preflight:test")
    target.cluster = ClusterAddresses(seeds: [target.endpoint])
    var options = preflightOptions(
        source: SourceSettings(endpoint: Endpoint(host: "127.0.0.1", port: source), clientID: "", displayName: ""),
        target: target)
    change(&options)
    return await StartPreflight(options).run()
}

extension [PreflightFinding] {
    /// `level topic` of the findings about the target.
    var target: Set<String> {
        Set(filter { $0.subject == .target }.map { "\($0.level.rawValue) \($0.topic)" })
    }
}

extension RunAlone {
    @Suite struct `A preflight of a cluster` {}
}

extension RunAlone.`A preflight of a cluster` {
    @Test func `reports on slots, replicas, databases and contents`() async throws {
        let cluster = try RedisCluster(replicas: 1)
        let master = try SimulatedMaster(.live(nil))
        let source = try master.start()
        defer {
            master.stop()
            cluster.stop()
        }
        master.execute("SET k v", database: 3)
        var findings = await preflight(source: source, cluster) { $0.skippedDatabases = [3] }
        #expect(
            findings.target.isSuperset(of: ["ok slots", "ok topology", "ok databases", "ok version", "ok contents"]))
        #expect(!findings.target.contains { $0.hasPrefix("fail") }, "\(findings)")
        #expect(findings.contains { $0.message == "all 16384 are served, by 3 masters" })

        findings = await preflight(source: source, cluster)
        #expect(findings.target.contains("fail databases"))
        #expect(findings.first { $0.topic == "databases" }?.remedy?.contains("cluster-databases 4") == true)
        findings = await preflight(source: source, cluster) { $0.stopsAtUnsupported = false }
        #expect(findings.target.contains("warn databases"))
    }

    @Test func `warns of missing replicas, and fails if slots are not served`() async throws {
        let server = try RedisServer()
        let source = server.port
        let cluster = try RedisCluster(replicas: 0, ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"])
        defer {
            server.stop()
            cluster.stop()
        }
        var findings = await preflight(source: source, cluster)
        #expect(findings.target.isSuperset(of: ["ok slots", "warn topology", "warn eviction", "warn persistence"]))
        #expect(findings.count { $0.topic == "eviction" } == 3, "each master has a line")
        for node in cluster.nodes { try node.client().command("CLUSTER", "DELSLOTS", "5") }
        try wait(until: "all know it") {
            try cluster.nodes.allSatisfy { try $0.client().clusterState() == "fail" }
        }
        findings = await preflight(source: source, cluster)
        #expect(findings.target.isSuperset(of: ["fail slots", "fail state"]), "\(findings)")
        #expect(findings.allSatisfy { $0.level == .ok || $0.remedy != nil })
    }
}
