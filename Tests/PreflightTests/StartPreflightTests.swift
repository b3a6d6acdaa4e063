import Dragonfly
import DragonflySimulator
import Lab
import Link
import Redis
import Testing
import Wire

@testable import Preflight

@Suite struct `A preflight` {
    private static func findings(
        source: UInt16, target: UInt16, user: (name: String, password: String)? = nil,
        _ change: (inout PreflightOptions) -> Void = { _ in }
    ) async -> [PreflightFinding] {
        var options = preflightOptions(
            source: SourceSettings(endpoint: Endpoint(host: "127.0.0.1", port: source), clientID: "", displayName: ""),
            target: TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: target), user: user?.name, password: user?.password,
                clientName: "df2redis-preflight:test"))
        change(&options)
        return await StartPreflight(options).run()
    }

    private static func options() -> PreflightOptions {
        let endpoint = Endpoint(host: "127.0.0.1", port: 1)
        return preflightOptions(
            source: SourceSettings(endpoint: endpoint, clientID: "", displayName: ""),
            target: TargetSettings(endpoint: endpoint, clientName: ""))
    }

    /// `level subject topic` of the findings that are not ok.
    private static func troubles(_ findings: [PreflightFinding]) -> Set<String> {
        Set(
            findings.filter { $0.level != .ok }.map { "\($0.level.rawValue) \($0.subject.rawValue) \($0.topic)" })
    }

    @Test func `of sound servers has no failures, and opens no replication session`() async throws {
        let master = try SimulatedMaster(.live(nil))
        let port = try master.start()
        let redis = try RedisServer(["--appendonly", "yes"])
        defer {
            redis.stop()
            master.stop()
        }
        let findings = await Self.findings(source: port, target: redis.port)
        #expect(!findings.contains { $0.level == .fail }, "\(findings)")
        #expect(findings.contains { $0.subject == .source && $0.topic == "flows" && $0.message.hasPrefix("2 shards") })
        #expect(
            findings.first { $0.topic == "contents" }?.message
                == "the next start is the task's first full sync. The target is empty")
        #expect(master.main == nil)
        #expect(master.violations == [])
        #expect(try redis.client().command("DBSIZE").int == 0, "nothing is written")
    }

    @Test func `of a target above its memory limit says that it may use no more`() {
        var (source, target) = (SourceSide(), TargetSide())
        (source.usedBytes, source.keys, source.databases, source.hasCounted) = (100, 1, [0], true)
        (target.usedBytes, target.memoryBytes, target.databaseCount) = (30, 20, 16)
        let findings = PairPreflight(
            source: source, target: target, options: Self.options()
        ).findings()
        #expect(findings.first?.message == "the source uses 100 B, the target may use 0 B more")
        #expect(findings.contains { $0.message == "16 databases; the source has 1 key in 1" })
    }

    @Test func `reports each problem of a target with a remedy`() async throws {
        let master = try SimulatedMaster(.live(nil))
        let port = try master.start()
        let redis = try RedisServer(["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"])
        defer {
            redis.stop()
            master.stop()
        }
        let client = try redis.client()
        try client.command("SET", "foreign", "v")
        var findings = await Self.findings(source: port, target: redis.port)
        #expect(
            Self.troubles(findings).isSuperset(of: [
                "warn target eviction", "warn target persistence", "warn target contents",
            ]), "\(findings)")
        #expect(findings.allSatisfy { $0.level == .ok || $0.remedy != nil })

        try client.command("HSET", "df2redis:tasks", "df2redis:checkpoint:other", "0")
        try client.command("SET", "df2redis:checkpoint:test:owner", "1 host 17 machine start")
        findings = await Self.findings(source: port, target: redis.port)
        #expect(Self.troubles(findings).isSuperset(of: ["warn target tasks", "warn target task"]))

        try client.command(
            "ACL", "SETUSER", "weak", "on", ">p", "~*", "+@all", "-hset", "-eval")
        findings = await Self.findings(source: port, target: redis.port, user: ("weak", "p"))
        let refusal = try #require(findings.first { $0.level == .fail && $0.topic == "rights" })
        #expect(refusal.remedy?.contains("ACL SETUSER weak") == true && refusal.remedy?.contains("+hset") == true)
        try client.command("ACL", "SETUSER", "weak", "+hset")
        findings = await Self.findings(source: port, target: redis.port, user: ("weak", "p"))
        #expect(Self.troubles(findings).contains("warn target rights"))

        findings = await Self.findings(source: port, target: redis.port) {
            $0.spoolDiskBytes = 1 << 60
            $0.spoolDirectory = "/tmp/none/spool"
            $0.stateDirectory = "/etc/passwd/none"
        }
        #expect(Self.troubles(findings).isSuperset(of: ["warn host spool", "fail host state"]))
    }

    @Test func `fails if a start would certainly be refused`() async throws {
        let master = try SimulatedMaster(.live(nil))
        let port = try master.start()
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let client = try redis.client()
        func failures(_ change: (inout PreflightOptions) -> Void = { _ in }) async -> Set<String> {
            Self.troubles(await Self.findings(source: port, target: redis.port, change)).filter { $0.hasPrefix("fail") }
        }
        let checkpoint = "df2redis:checkpoint:test"
        try client.command("HSET", checkpoint, "cutover", "1800000000")
        #expect(await failures() == ["fail target cut-over"])
        for key in [checkpoint, "df2redis:tasks"] {
            try client.command("DEL", key)
            try client.command("SET", key, "somebody else's")
            #expect(await failures() == ["fail target names"], "\(key)")
            try client.command("DEL", key)
        }
        try client.command("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "500000")
        #expect(await failures() == ["fail target memory"])
        // The policy evicts keys with a TTL only, and there is none.
        try client.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
        #expect(await failures() == ["fail target memory"])
        try client.command("CONFIG", "SET", "maxmemory", "0")
        #expect(ServerInfo("db0:keys=5,expires=1,avg_ttl=0\ndb3:keys=2,expires=2").expiringKeys == 3)

        // An owner that has ended does not prevent a start.
        try client.command("SET", "\(checkpoint):owner", "1 host 17 machine start")
        let findings = await Self.findings(source: port, target: redis.port) { $0.hasEnded = { $0.contains(" 17 ") } }
        let task = try #require(findings.first { $0.topic == "task" })
        #expect(task.level == .ok)
        #expect(task.message == "the task was last run by process 17 on host host, which has ended")
    }

    @Test func `fails if a server cannot be reached or is of the wrong kind`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        var findings = await Self.findings(source: redis.port, target: redis.port)
        #expect(Self.troubles(findings).contains("fail source version"))
        try redis.client().command("CONFIG", "SET", "requirepass", "secret")
        findings = await Self.findings(source: 1, target: redis.port)
        #expect(Self.troubles(findings).isSuperset(of: ["fail source connection", "fail target connection"]))
        #expect(findings.first { $0.subject == .target }?.message.contains("target.password") == true)
    }

    @Test func `reports a problem only once, with the right remedy`() async throws {
        let (node, redis) = (try RedisServer(["--cluster-enabled", "yes"]), try RedisServer())
        defer {
            node.stop()
            redis.stop()
        }
        func failures(_ target: UInt16, user: (String, String)? = nil) async -> [PreflightFinding] {
            await Self.findings(source: 1, target: target, user: user)
                .filter { $0.level == .fail && $0.subject == .target }
        }
        var found = await failures(node.port)
        #expect(found.map(\.message) == ["the target 127.0.0.1:\(node.port) is a node of a cluster"])
        #expect(found.map(\.remedy) == ["set target.type: cluster"])
        try redis.client().command("ACL", "SETUSER", "blind", "on", ">p", "~*", "+@all", "-info")
        found = await failures(redis.port, user: ("blind", "p"))
        #expect(found.count == 1, "\(found)")
        #expect(found.first?.message.contains("add +info") == true, "\(found)")
    }

    @Test func `prints each finding as a line of JSON`() {
        let finding = PreflightFinding(.warn, .host, "open files", "a \"word\"", remedy: "do\nit")
        #expect(
            finding.json
                == #"{"level":"warn","subject":"host","topic":"open files","message":"a \"word\"","remedy":"do\nit"}"#)
    }
}

@Suite(.enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `A preflight of a real Dragonfly` {
    private static func findings(
        _ master: DragonflyServer, _ redis: RedisServer, user: String? = nil
    ) async -> [PreflightFinding] {
        let options = preflightOptions(
            source: SourceSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: master.port), user: user, password: user.map { _ in "p" },
                clientID: "", displayName: ""),
            target: TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis-preflight:test"))
        return await StartPreflight(options).run()
    }

    @Test func `reports shards, types, databases and missing rights`() async throws {
        let master = try DragonflyServer(shards: 2)
        let redis = try RedisServer(["--appendonly", "yes", "--databases", "4"])
        defer {
            redis.stop()
            master.stop()
        }
        let client = try master.client()
        for number in 0..<1000 { try client.command("SET", "key\(number)", "v") }
        var findings = await Self.findings(master, redis)
        print(findings.map { "\($0.level) \($0.subject) \($0.topic): \($0.message)" }.joined(separator: "\n"))
        #expect(!findings.contains { $0.level == .fail }, "\(findings)")
        #expect(findings.contains { $0.topic == "flows" && $0.message.hasPrefix("2 shards") })

        try client.command("JSON.SET", "document", "$", "{}")
        try client.command("SET", "df2redis:mine", "v")
        try client.command("SELECT", "7")
        try client.command("SET", "far", "v")
        try client.command(
            "ACL", "SETUSER", "weak", "ON", ">p", "+PING", "+INFO", "+ACL", "+ROLE", "+SCAN", "+TYPE", "+SELECT", "~*")
        findings = await Self.findings(master, redis)
        let troubles = findings.filter { $0.level != .ok }.map { "\($0.level) \($0.subject) \($0.topic)" }
        #expect(Set(troubles) == ["fail target types", "warn source names", "fail target databases"])
        findings = await Self.findings(master, redis, user: "weak")
        let rights = try #require(findings.first { $0.subject == .source && $0.topic == "rights" })
        #expect(rights.level == .fail, "\(findings)")
        #expect(rights.remedy?.contains("ACL SETUSER weak +DFLY") == true)
    }

    @Test func `refuses a Dragonfly as the target, and leaves its data alone`() async throws {
        let master = try DragonflyServer(shards: 2)
        defer { master.stop() }
        let client = try master.client()
        for number in 0..<1000 { try client.command("SET", "key\(number)", "v") }
        let address = Endpoint(host: "127.0.0.1", port: master.port)
        for _ in 0..<3 {
            let options = preflightOptions(
                source: SourceSettings(endpoint: address, clientID: "", displayName: ""),
                target: TargetSettings(endpoint: address, clientName: "df2redis-preflight:test"))
            let findings = await StartPreflight(options).run()
            #expect(
                findings.contains {
                    $0.level == .fail && $0.subject == .target && $0.message.hasPrefix("the target is a Dragonfly")
                }, "\(findings)")
        }
        #expect(try client.command("DBSIZE").int == 1000)
        let statistics = try client.command("INFO", "commandstats").text ?? ""
        #expect(!statistics.contains("cmdstat_flush"), "\(statistics)")
    }
}
