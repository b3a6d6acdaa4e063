import Foundation
import Lab
import Testing

@testable import Service

@Suite struct `A configuration with TLS` {
    private func yaml(_ tls: [String]) -> String {
        (["source: {addr: \"df:1\"}", "target:", "  addr: redis:1", "  tls:"] + tls.map { "    " + $0 })
            .joined(separator: "\n") + "\n"
    }

    @Test func `trusts the system's authorities if tls is just true`() throws {
        let configuration = try load("source: {addr: \"df:1\", tls: true}\ntarget: {addr: \"redis:1\", tls: true}\n")
            .configuration
        for tls in [configuration.source.tls, configuration.target.tls] {
            #expect(tls.isEnabled)
            #expect(tls.caFile == nil)
            #expect(!tls.skipsVerification)
        }
    }

    @Test func `is rejected for an unusable file, with line and key`() throws {
        let authority = try CertificateAuthority()
        let (own, other) = (try authority.issue(), try authority.issue())
        #expect(
            problems(of: yaml(["enabled: true", "caFile: /no/such"])) == [
                "6:13: target.tls.caFile: /no/such cannot be read: No such file or directory"
            ])
        #expect(
            problems(of: yaml(["enabled: true", "certFile: \(own.certificate)", "keyFile: \(other.key)"])) == [
                "7:14: target.tls.keyFile: \(other.key) does not belong to the certificate in \(own.certificate) (target.tls.certFile)"
            ])
        #expect(
            problems(of: yaml(["enabled: true", "keyFile: \(own.key)"])) == [
                "6:14: target.tls.keyFile: needs a certificate: set target.tls.certFile"
            ])
        // The fault of one file does not hide that of another.
        #expect(
            problems(of: yaml(["enabled: true", "caFile: /no/ca", "certFile: /no/cert", "keyFile: /no/key"])) == [
                "6:13: target.tls.caFile: /no/ca cannot be read: No such file or directory",
                "7:15: target.tls.certFile: /no/cert cannot be read: No such file or directory",
                "8:14: target.tls.keyFile: /no/key cannot be read: No such file or directory",
            ])
        #expect(
            problems(of: yaml(["enabled: true", "certFile: \(other.key)", "keyFile: \(own.certificate)"])) == [
                "6:15: target.tls.certFile: \(other.key) holds no certificate in PEM form",
                "7:14: target.tls.keyFile: \(own.certificate) holds no private key in PEM form",
            ])
        #expect(
            problems(of: yaml(["enabled: true", "certFile: /no/cert"])) == [
                "6:15: target.tls.certFile: /no/cert cannot be read: No such file or directory"
            ])
        _ = try load(yaml(["enabled: true", "certFile: \(own.certificate)", "keyFile: \(own.key)"]))
        _ = try load(yaml(["enabled: false", "caFile: /no/such"]))
    }

    @Test func `is rejected if it has other TLS keys but not whether TLS is enabled`() throws {
        for line in ["caFile: /ca", "certFile: /c", "keyFile: /k", "serverName: name", "insecureSkipVerify: true"] {
            let key = "target.tls.\(line.prefix { $0 != ":" })"
            let found = problems(of: yaml([line]))
            #expect(found.count == 1)
            #expect(found[0].contains("\(key): needs target.tls.enabled: true; without it nothing would be encrypted"))
            let warnings = try load(yaml(["enabled: false", line])).warnings.map { "\($0.key ?? ""): \($0.message)" }
            #expect(warnings == ["\(key): is not used: target.tls.enabled is false, and nothing is encrypted"])
        }
    }

    @Test func `warns of a client certificate that has expired or expires soon`() throws {
        let day = 86_400
        let authority = try CertificateAuthority()
        let cases: [(ClosedRange<Int>, String?)] = [
            (-2 * day...(-day), "our certificate has expired at 20"),
            (0...3600, "our certificate ends within a day, at 20"),
            (0...(9 * day + 3600), "our certificate ends in 9 days, at 20"), (0...(99 * day), nil),
        ]
        for (seconds, text) in cases {
            let own = try authority.issue(seconds: seconds)
            let loaded = try load(
                yaml(["enabled: true", "certFile: \(own.certificate)", "keyFile: \(own.key)"]))
            #expect(loaded.warnings.map(\.key) == (text == nil ? [] : ["target.tls.certFile"]))
            if let text { #expect(loaded.warnings.first?.message.hasPrefix(text) == true) }

            let ends = ClientCertificates(loaded.configuration).ends()
            #expect(ends.keys.sorted() == ["target"])
            let end = Int64(Date().timeIntervalSince1970) + Int64(seconds.upperBound)
            #expect(abs((ends["target"] ?? 0) - end) < 60)
        }
    }

    @Test func `warns if verification is disabled`() throws {
        let loaded = try load(yaml(["enabled: true", "insecureSkipVerify: true"]))
        #expect(loaded.configuration.target.tls.skipsVerification)
        #expect(
            loaded.warnings.map(\.message) == [
                "the server's certificate is not checked: anyone on the way can read and change everything"
            ])
    }

    @Test func `prefers systemd's credentials to files, and the task's own to common ones`() throws {
        let authority = try CertificateAuthority()
        let (own, other) = (try authority.issue(), try authority.issue())
        let folder = try TemporaryFolder()
        func put(_ file: String, _ name: String) throws {
            try folder.write(String(contentsOfFile: file, encoding: .utf8), to: name)
        }
        try put(own.certificate, "target-tls-cert")
        try put(own.key, "prod.target-tls-key")
        try put(other.key, "target-tls-key")
        let loaded = try ConfigurationLoader(environment: ["CREDENTIALS_DIRECTORY": folder.path]).load(
            yaml: yaml(["enabled: true", "certFile: /no/such"]), file: "/etc/df2redis/prod.yaml")
        let tls = loaded.configuration.target.tls
        #expect(tls.certificateFile == "\(folder.path)/target-tls-cert")
        #expect(tls.keyFile == "\(folder.path)/prod.target-tls-key")
        #expect(
            loaded.warnings.map(\.message) == [
                "is not used: the systemd credential 'target-tls-cert' overrides it"
            ])
    }
}
