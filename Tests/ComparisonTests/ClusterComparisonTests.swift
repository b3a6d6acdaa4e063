import Comparison
import Dragonfly
import DragonflySimulator
import Lab
import Link
import Logging
import Redis
import Testing

/// A server in the source's place and a cluster as the target.
private final class ServerAndCluster {
    let source: RedisServer
    let cluster: RedisCluster
    let onSource: RESPClient
    /// Of what is named as the source.
    var port: UInt16

    init(replicas: Int = 0, _ arguments: [String] = []) throws {
        source = try RedisServer()
        cluster = try RedisCluster(replicas: replicas, arguments)
        onSource = try source.client()
        port = source.port
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
                endpoint: Endpoint(host: "127.0.0.1", port: port), clientID: "", displayName: ""),
            target: target)
    }

    /// Compares, and gives the keys that differ as `kind type key`.
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

    func preflight(_ change: (inout PreflightOptions) -> Void = { _ in }) async -> [PreflightFinding] {
        var options = PreflightOptions(checkpointKey: "df2redis:checkpoint:test")
        options.stateDirectory = "/tmp"
        options.interval = .milliseconds(50)
        change(&options)
        return await Preflight(pair, options: options).run()
    }
}

extension [PreflightFinding] {
    /// `level topic` of what was found at the target.
    fileprivate var target: Set<String> {
        Set(filter { $0.subject == .target }.map { "\($0.level.rawValue) \($0.topic)" })
    }
}

@Suite(.serialized) struct `A cluster that is compared` {
    @Test func `is read over all its masters, each key where its slot is, also while slots move`() async throws {
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
        // Of a task that runs.
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

    @Test func `is looked at before a task runs: slots, replicas, databases and what is in it`() async throws {
        let servers = try ServerAndCluster(replicas: 1)
        let master = try SimulatedMaster(.live(nil))
        servers.port = try master.start()
        defer { master.stop() }
        master.execute("SET k v", database: 3)
        var findings = await servers.preflight { $0.skippedDatabases = [3] }
        #expect(
            findings.target.isSuperset(of: ["ok slots", "ok topology", "ok databases", "ok version", "ok contents"]))
        #expect(!findings.target.contains { $0.hasPrefix("fail") }, "\(findings)")
        #expect(findings.contains { $0.message == "all 16384 are served, by 3 masters" })

        findings = await servers.preflight()
        #expect(findings.target.contains("fail databases"))
        #expect(findings.first { $0.topic == "databases" }?.remedy?.contains("cluster-databases 4") == true)
        findings = await servers.preflight { $0.stopsAtUnsupported = false }
        #expect(findings.target.contains("warn databases"))
    }

    @Test func `that lacks replicas or serves not all slots is no sound target`() async throws {
        let servers = try ServerAndCluster(["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"])
        var findings = await servers.preflight()
        #expect(findings.target.isSuperset(of: ["ok slots", "warn topology", "warn eviction", "warn persistence"]))
        #expect(findings.count { $0.topic == "eviction" } == 3, "each master has a line")
        for node in servers.cluster.nodes { try node.client().command("CLUSTER", "DELSLOTS", "5") }
        try wait(until: "all know it") {
            try servers.cluster.nodes.allSatisfy { try $0.client().clusterState() == "fail" }
        }
        findings = await servers.preflight()
        #expect(findings.target.isSuperset(of: ["fail slots", "fail state"]), "\(findings)")
        #expect(findings.allSatisfy { $0.level == .ok || $0.remedy != nil })
    }
}

@Suite(.serialized) struct `A preflight of what leads to a server` {
    private static func findings(
        source: Endpoint, _ sourceTLS: TLSSettings?, _ target: TargetSettings
    ) async -> [PreflightFinding] {
        var options = PreflightOptions(checkpointKey: "df2redis:checkpoint:test")
        options.stateDirectory = "/tmp"
        options.interval = .milliseconds(50)
        var settings = SourceSettings(endpoint: source, clientID: "", displayName: "")
        settings.tls = sourceTLS
        return await Preflight(ServerPair(source: settings, target: target), options: options).run()
    }

    @Test func `says when certificates end, of both servers`() async throws {
        let day = 86_400
        let authority = try CertificateAuthority(seconds: -3600...400 * day)
        let source = try RedisServer(tls: .init(try authority.issue(seconds: -3600...100 * day + 7200)))
        let target = try RedisServer(tls: .init(try authority.issue(seconds: -3600...10 * day + 7200)))
        let expired = try RedisServer(tls: .init(try authority.issue(seconds: -7200...(-3600))))
        defer { for server in [source, target, expired] { server.stop() } }
        func settings(_ section: String) -> TLSSettings {
            var tls = TLSSettings(section: section)
            tls.caFile = authority.file
            return tls
        }
        func endpoint(_ server: RedisServer) -> Endpoint { Endpoint(host: "127.0.0.1", port: server.tlsPort ?? 0) }
        var to = TargetSettings(endpoint: endpoint(target), clientName: "df2redis-preflight:test")
        to.tls = settings("target.tls")
        let findings = await Self.findings(source: endpoint(source), settings("source.tls"), to)
        let certificates = findings.filter { $0.topic == "certificate" }
        #expect(certificates.map(\.level) == [.ok, .warn], "\(findings)")
        #expect(certificates.first?.message.hasSuffix("100 days from now") == true)
        #expect(certificates.last?.message.contains("ends in 10 days, at 20") == true)

        // Whoever verifies meets an error; whoever does not is told.
        to.endpoint = endpoint(expired)
        var found = await Self.findings(source: endpoint(source), settings("source.tls"), to)
        #expect(found.contains { $0.level == .fail && $0.subject == .target && $0.message.contains("has expired at") })
        to.tls?.skipsVerification = true
        found = await Self.findings(source: endpoint(source), settings("source.tls"), to)
        #expect(found.target.isSuperset(of: ["fail certificate", "warn certificate"]))
        let plain = await Self.findings(
            source: Endpoint(host: "127.0.0.1", port: source.port), nil,
            TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: target.port), clientName: "df2redis-preflight:test"))
        #expect(!plain.contains { $0.topic == "certificate" })
    }

    @Test func `says what the sentinels say`() async throws {
        let source = try RedisServer()
        let group = try SentinelGroup()
        defer {
            source.stop()
            group.stop()
        }
        func target(_ name: String, _ sentinels: [SentinelGroup.Sentinel]) -> TargetSettings {
            let first = Endpoint(host: "127.0.0.1", port: 1)
            var settings = TargetSettings(endpoint: first, clientName: "df2redis-preflight:test")
            let sentinel = SentinelSettings(
                master: name, endpoints: sentinels.map { Endpoint(host: "127.0.0.1", port: $0.port) })
            settings.sentinel = sentinel
            settings.locator = SentinelLocator(sentinel, logger: Logger(label: "test"))
            return settings
        }
        let from = Endpoint(host: "127.0.0.1", port: source.port)
        var findings = await Self.findings(source: from, nil, target(group.name, group.sentinels))
        #expect(findings.target.isSuperset(of: ["ok sentinels", "ok connection", "ok version"]), "\(findings)")
        #expect(!findings.target.contains("warn sentinels"))
        findings = await Self.findings(source: from, nil, target("other", group.sentinels))
        #expect(findings.target == ["fail sentinels"])
        #expect(findings.last { $0.subject == .target }?.message.contains("but mymaster") == true)
        group.sentinels[0].kill()
        findings = await Self.findings(source: from, nil, target(group.name, Array(group.sentinels.prefix(2))))
        #expect(findings.target.isSuperset(of: ["ok sentinels", "warn sentinels", "ok connection"]))
        #expect(findings.count { $0.topic == "sentinels" && $0.level == .warn } == 2, "one is away, and two are few")
    }
}
