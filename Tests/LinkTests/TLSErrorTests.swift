import COpenSSL
import Foundation
import Lab
import Testing
import Wire

@testable import Link

@Suite struct `An error about TLS` {
    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `names an unknown authority, and the key to set`(_ version: Int32) async throws {
        var scene = try TLSScene()
        scene.settings.caFile = scene.stranger.file
        let server = try scene.server(versions: version...version)
        let error = try await scene.failure(at: server)
        #expect(error.code == .certificate)
        #expect(
            error.message
                == "the certificate of 127.0.0.1:\(server.port) comes from an authority that is not trusted (CN=df2redis lab CA), being none of those in \(scene.settings.caFile ?? "") (target.tls.caFile): set target.tls.caFile to that authority's certificate"
        )
    }

    @Test func `says that the system does not trust an authority`() async throws {
        var scene = try TLSScene()
        scene.settings.caFile = nil
        let error = try await scene.failure(at: try scene.server())
        #expect(error.message.contains("being none of the system's: set target.tls.caFile"))
    }

    @Test func `names a self-signed certificate, which may serve as caFile`() async throws {
        var scene = try TLSScene()
        let files = try scene.authority.issue("alone", isSelfSigned: true)
        let server = try scene.server(files)
        let error = try await scene.failure(at: server)
        #expect(error.message.hasPrefix("the certificate of 127.0.0.1:\(server.port) (CN=alone) is self-signed"))
        scene.settings.caFile = files.certificate
        let connection = try await scene.connect(to: server)
        #expect(try await connection.request("PING").isOK)
        await connection.close()
    }

    @Test func `names the hosts that a certificate is for if it is not for this one`() async throws {
        var scene = try TLSScene()
        let server = try scene.server(scene.authority.issue(names: "DNS:redis.example,IP:10.0.0.7"))
        let error = try await scene.failure(at: server)
        #expect(error.code == .certificate)
        #expect(
            error.message
                == "the certificate of 127.0.0.1:\(server.port) is for DNS:redis.example, IP Address:10.0.0.7, and not for 127.0.0.1: connect to one of these, or name one in target.tls.serverName"
        )
        scene.settings.serverName = "valkey.example"
        let other = try await scene.failure(at: server)
        #expect(other.message.hasSuffix("and not for valkey.example: correct target.tls.serverName"))
        for name in ["redis.example", "10.0.0.7"] {
            scene.settings.serverName = name
            let connection = try await scene.connect(to: server)
            #expect(try await connection.request("PING").isOK)
            await connection.close()
        }
    }

    @Test func `says when a certificate has expired`() async throws {
        let scene = try TLSScene()
        let server = try scene.server(scene.authority.issue(seconds: -7200 ... -3600))
        let error = try await scene.failure(at: server)
        #expect(error.code == .certificate)
        #expect(
            error.message.hasPrefix("the certificate of 127.0.0.1:\(server.port) (CN=server) has expired at "),
            "\(error)")
        #expect(error.message.hasSuffix(" GMT: it has to be renewed there"))
    }

    @Test func `asks to check the clock if a certificate is not valid yet`() async throws {
        let scene = try TLSScene()
        let error = try await scene.failure(at: try scene.server(scene.authority.issue(seconds: 3600...7200)))
        #expect(error.message.contains("(CN=server) is not valid before "))
        #expect(error.message.hasSuffix("is the clock of this machine right?"))
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `names the keys for a client certificate that is missing or not trusted`(
        _ version: Int32
    ) async throws {
        var scene = try TLSScene()
        let server = try scene.server(clientAuthority: scene.authority.file, versions: version...version)
        let missing = try await scene.failure(at: server)
        #expect(missing.code == .clientCertificate)
        #expect(
            missing.message
                == "127.0.0.1:\(server.port) requires a client certificate: set target.tls.certFile and target.tls.keyFile to one that it trusts"
        )
        func present(_ files: CertificateFiles) {
            (scene.settings.certificateFile, scene.settings.keyFile) = (files.certificate, files.key)
        }
        let foreign = try scene.stranger.issue("client")
        present(foreign)
        let unknown = try await scene.failure(at: server)
        #expect(unknown.code == .clientCertificate)
        #expect(
            unknown.message.contains("refuses our certificate (\(scene.settings.certificateFile ?? ""), target.tls"))
        #expect(unknown.message.hasSuffix("its authority is not trusted there"))
        let old = try scene.authority.issue("client", seconds: -7200 ... -3600)
        present(old)
        let expired = try await scene.failure(at: server)
        #expect(expired.message.hasSuffix("it has expired, or its authority's has"))
        present(try scene.authority.issue("client"))
        let connection = try await scene.connect(to: server)
        #expect(try await connection.request("PING").isOK)
        await connection.close()
    }

    @Test func `says that a server with TLS 1_1 is too old`() async throws {
        let scene = try TLSScene()
        let server = try scene.server(versions: TLS1_1_VERSION...TLS1_1_VERSION)
        let error = try await scene.failure(at: server)
        #expect(error.code == .version)
        #expect(error.message == "127.0.0.1:\(server.port) speaks neither TLS 1.2 nor 1.3: raise the version there")
    }

    @Test func `quotes a server that answers in plaintext`() async throws {
        let scene = try TLSScene()
        let server = try ScriptedServer { connection in
            _ = connection.receive()
            connection.send("-ERR unknown command\r\n")
            while !connection.receive().isEmpty {}
        }
        let error = try await scene.failure(at: server)
        #expect(error.code == .plaintext)
        #expect(
            error.message
                == "127.0.0.1:\(server.port) does not speak TLS on this port (it answered \"-ERR unknown command\"): connect to its TLS port, or set target.tls.enabled to false"
        )
    }

    @Test func `reports that a Redis, which waits for the end of a line, does not speak TLS`() async throws {
        let scene = try TLSScene()
        let redis = try RedisServer()
        defer { redis.stop() }
        let error = try await TLSScene.failure(at: Endpoint(host: "127.0.0.1", port: redis.port), scene.settings)
        #expect(error.code == .plaintext)
        #expect(error.message.hasPrefix("127.0.0.1:\(redis.port) does not speak TLS on this port"))
    }

    @Test func `reports that a Dragonfly, which closes the connection silently, does not speak TLS`() async throws {
        let scene = try TLSScene()
        let server = try ScriptedServer { connection in
            while case let request = connection.receive(), request.contains("PING") { connection.send("+PONG\r\n") }
        }
        let error = try await scene.failure(at: server)
        #expect(error.code == .plaintext, "\(error)")
        #expect(error.message.hasPrefix("127.0.0.1:\(server.port) does not speak TLS on this port"))
    }

    @Test func `reports that the server speaks TLS if the client does not`() async throws {
        let redis = try RedisServer(tls: .init(try CertificateAuthority().issue()))
        defer { redis.stop() }
        let port = try #require(redis.tlsPort)
        let connection = try await RequestConnection.connect(
            to: Endpoint(host: "127.0.0.1", port: port), tls: nil, label: "test", timeout: .seconds(10))
        do {
            let reply = try await connection.request("PING")
            Issue.record("it was answered: \(reply)")
        } catch {
            #expect("\(error)" == "127.0.0.1:\(port) speaks TLS on this port")
        }
        await connection.close()
    }

    @Test func `is reported as unanswered if the server says nothing`() async throws {
        let scene = try TLSScene()
        let server = try ScriptedServer { connection in
            while !connection.receive().isEmpty {}
        }
        let endpoint = Endpoint(host: "127.0.0.1", port: server.port)
        await #expect(throws: RequestFailure.self) {
            try await RequestConnection.connect(
                to: endpoint, tls: scene.settings, label: "test", timeout: .milliseconds(100))
        }
        let closing = try ScriptedServer { connection in _ = connection.receive() }
        let error = try await scene.failure(at: closing)
        #expect(error.code == .unanswered)
        #expect(error.message.contains("closed the connection during the TLS handshake"))
    }

    // MARK: Files

    /// The error about a file of ours.
    private func fault(_ change: (inout TLSSettings) -> Void) -> TLSError? {
        var settings = TLSSettings(section: "source.tls")
        change(&settings)
        do throws(TLSError) {
            _ = try TLSContext(settings)
            return nil
        } catch {
            return error
        }
    }

    @Test func `names each unusable file with its key`() throws {
        let authority = try CertificateAuthority()
        let (own, other) = (try authority.issue("a"), try authority.issue("b"))
        let locked = try authority.issue("c", passphrase: "secret")
        let folder = try TemporaryFolder("tls")
        let text = try folder.write("no PEM\n", to: "text")
        func show(_ certificate: String, _ key: String?) -> TLSError? {
            fault { ($0.certificateFile, $0.keyFile) = (certificate, key) }
        }
        #expect(show(own.certificate, own.key) == nil)
        #expect(
            fault { $0.caFile = "/no/such" }
                == TLSError(
                    .file, "source.tls.caFile: /no/such cannot be read: No such file or directory", key: "caFile"))
        #expect(
            fault { $0.caFile = text }
                == TLSError(.file, "source.tls.caFile: \(text) holds no certificate in PEM form", key: "caFile"))
        #expect(
            fault { $0.caFile = folder.path }
                == TLSError(.file, "source.tls.caFile: \(folder.path) cannot be read: Is a directory", key: "caFile"))
        #expect(
            show(text, own.key)
                == TLSError(.file, "source.tls.certFile: \(text) holds no certificate in PEM form", key: "certFile"))
        #expect(
            show(own.certificate, text)
                == TLSError(.file, "source.tls.keyFile: \(text) holds no private key in PEM form", key: "keyFile"))
        #expect(
            show(own.certificate, nil)
                == TLSError(
                    .file, "source.tls.certFile: \(own.certificate) holds no private key in PEM form", key: "certFile"))
        #expect(
            show(own.certificate, other.key)
                == TLSError(
                    .file,
                    "source.tls.keyFile: \(other.key) does not belong to the certificate in \(own.certificate) (source.tls.certFile)",
                    key: "keyFile"))
        #expect(
            show(locked.certificate, locked.key)?.message
                == "source.tls.keyFile: \(locked.key) is protected by a passphrase, which nobody is there to enter: write it without one"
        )
    }
}
