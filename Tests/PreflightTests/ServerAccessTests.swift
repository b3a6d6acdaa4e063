import Dragonfly
import Lab
import Link
import Logging
import Preflight
import Redis
import Testing

@Suite(.serialized) struct `A preflight of the access to servers` {
    private static func findings(
        source: Endpoint, _ sourceTLS: TLSSettings?, _ target: TargetSettings
    ) async -> [PreflightFinding] {
        var settings = SourceSettings(endpoint: source, clientID: "", displayName: "")
        settings.tls = sourceTLS
        return await StartPreflight(preflightOptions(source: settings, target: target)).run()
    }

    @Test func `reports when the certificates of both servers expire`() async throws {
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

        let client = try authority.issue(seconds: -3600...day + 7200)
        var presenting = to
        presenting.tls?.certificateFile = client.certificate
        presenting.tls?.keyFile = client.key
        let own = await Self.findings(source: endpoint(source), settings("source.tls"), presenting)
            .filter { $0.topic == "client-certificate" }
        #expect(own.map(\.level) == [.warn])
        #expect(
            own.first?.message.hasPrefix(
                "our certificate in \(client.certificate) (target.tls.certFile) ends in 1 day, at 20") == true)

        // An expired certificate is a failure with verification, and a warning without.
        to.endpoint = endpoint(expired)
        var found = await Self.findings(source: endpoint(source), settings("source.tls"), to)
        #expect(found.contains { $0.level == .fail && $0.subject == .target && $0.message.contains("has expired at") })
        to.tls?.skipsVerification = true
        found = await Self.findings(source: endpoint(source), settings("source.tls"), to)
        #expect(found.contains { $0.level == .warn && $0.subject == .target && $0.message.contains("has expired at") })
        #expect(!found.target.contains("fail certificate"), "the task runs with it")
        let plain = await Self.findings(
            source: Endpoint(host: "127.0.0.1", port: source.port), nil,
            TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: target.port), clientName: "df2redis-preflight:test"))
        #expect(!plain.contains { $0.topic == "certificate" })
    }

    @Test func `reports the sentinels' answers`() async throws {
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
