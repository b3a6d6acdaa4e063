import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// The whole daemon towards a target that speaks TLS; the tests themselves read the target on its plain port.
@Suite(.serialized) struct `A target with TLS` {
    private let authority: CertificateAuthority
    private let redis: RedisServer
    private let client: CertificateFiles

    init() throws {
        authority = try CertificateAuthority()
        client = try authority.issue("df2redis")
        redis = try RedisServer(tls: .init(try authority.issue(), clientAuthority: authority.file))
    }

    private func configuration(
        source: UInt16, _ tls: [String]? = nil, sections: [String: [String]] = [:]
    ) throws -> Daemon.Configuration {
        let own = ["caFile: \(authority.file)", "certFile: \(client.certificate)", "keyFile: \(client.key)"]
        var sections = sections
        sections["target"] = ["tls:", "  enabled: true"] + (tls ?? own).map { "  " + $0 }
        return .init(source: source, target: redis.tlsPort, sections: sections)
    }

    @Test func `is kept equal through a full sync, live writes, its restart and a crash of the daemon`() throws {
        defer { redis.stop() }
        let master = try startedMaster()
        defer { master.stop() }
        let source = try RESPClient(port: master.port)
        for number in 0..<2000 { try source.command("SET", "before:\(number)", "\(number)") }
        var daemon = try Daemon(.replicate, configuration(source: master.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable")
        for number in 0..<2000 {
            try source.command("INCR", "count")
            if number == 700 { try redis.restart() }
            if number == 1400 {
                daemon.process.kill()
                daemon = try Daemon(.replicate, configuration(source: master.port), folder: daemon.folder)
            }
        }
        let large = String(repeating: "x", count: 3 << 20)
        try source.command("SET", "large", large)
        try waitUntilEqual(source, try redis.client())
        try daemon.leave()
        #expect(try redis.client().command("GET", "count").text == "2000")
    }

    @Test func `is reached with the key and certificate of systemd credentials`() throws {
        defer { redis.stop() }
        let master = try startedMaster()
        defer { master.stop() }
        try RESPClient(port: master.port).command("SET", "k", "v")
        let folder = try TemporaryFolder("credentials")
        for (name, file) in [
            ("target-tls-ca", authority.file), ("lab.target-tls-cert", client.certificate),
            ("target-tls-key", client.key),
        ] {
            try FileManager.default.copyItem(atPath: file, toPath: folder.file(name))
        }
        let daemon = try Daemon(
            .migrate, configuration(source: master.port, []),
            environment: ["CREDENTIALS_DIRECTORY": folder.path])
        defer { daemon.process.kill() }
        try daemon.expectExit(0)
        #expect(try redis.client().command("GET", "k").text == "v")
    }

    @Test func `ends a misconfigured start with exit code 78 or 77 and the setting to change`() throws {
        defer { redis.stop() }
        let master = try startedMaster()
        defer { master.stop() }
        let own = ["certFile: \(client.certificate)", "keyFile: \(client.key)"]
        let stranger = try authority.issue("stranger")
        let port = try #require(redis.tlsPort)
        for (tls, status, text) in [
            (own, 78, "the target: the certificate of 127.0.0.1:\(port) comes from an authority that is not trusted"),
            (["caFile: \(authority.file)"], 77, "requires a client certificate: set target.tls.certFile"),
            (own + ["caFile: \(authority.file)", "serverName: elsewhere"], 78, "correct target.tls.serverName"),
            (
                ["caFile: \(authority.file)", "certFile: \(client.certificate)", "keyFile: \(stranger.key)"], 78,
                "target.tls.keyFile: \(stranger.key) does not belong to the certificate"
            ),
            (["caFile: /no/such"], 78, "target.tls.caFile: /no/such cannot be read: No such file or directory"),
        ] as [([String], Int32, String)] {
            let daemon = try Daemon(.replicate, configuration(source: master.port, tls))
            defer { daemon.process.kill() }
            try daemon.expectExit(status)
            #expect(daemon.logs(text), "\(daemon.log)")
        }
        // Each side the other way round.
        var plain = try configuration(source: master.port)
        plain.sections["target"] = []
        let toTLS = try Daemon(.replicate, plain)
        defer { toTLS.process.kill() }
        try toTLS.expectExit(78)
        #expect(toTLS.logs("the target 127.0.0.1:\(port) speaks TLS on this port: set target.tls.enabled"))
        var toPlain = try configuration(source: master.port)
        toPlain.target = redis.port
        let daemon = try Daemon(.replicate, toPlain)
        defer { daemon.process.kill() }
        try daemon.expectExit(78)
        #expect(daemon.logs("does not speak TLS on this port"))
    }

    @Test func `that has a wrong certificate after a restart is waited for until it is right`() throws {
        let source = try startedMaster()
        defer { source.stop() }
        let files = try authority.issue()
        let target = try RedisServer(tls: .init(files))
        defer { target.stop() }
        let daemon = try Daemon(
            .replicate,
            .init(
                source: source.port, target: target.tlsPort,
                sections: ["target": ["tls: {enabled: true, caFile: \(authority.file)}"]]))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable")
        let right = try String(contentsOfFile: files.certificate, encoding: .utf8)
        let rightKey = try String(contentsOfFile: files.key, encoding: .utf8)
        let wrong = try CertificateAuthority("another CA").issue()
        func copy(_ certificate: String, _ key: String) throws {
            try certificate.write(toFile: files.certificate, atomically: true, encoding: .utf8)
            try key.write(toFile: files.key, atomically: true, encoding: .utf8)
        }
        try copy(
            String(contentsOfFile: wrong.certificate, encoding: .utf8),
            String(contentsOfFile: wrong.key, encoding: .utf8)
        )
        try target.restart()
        try daemon.wait(forLine: "comes from an authority that is not trusted (CN=another CA)")
        try copy(right, rightKey)
        try target.restart()
        try RESPClient(port: source.port).command("SET", "after", "v")
        try wait(until: "the target has what came meanwhile") {
            try target.client().command("GET", "after").text == "v"
        }
        try daemon.leave()
    }
}
