import Dragonfly
import Lab
import Link
import Testing

/// The error that a source sends before it closes a connection must reach the operator.
@Suite struct `A source that closes a connection with an error` {
    /// The error with which opening a session fails.
    private func refusal(by server: ScriptedServer) async throws -> SourceError {
        let settings = SourceSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: server.port), clientID: String(repeating: "a", count: 40),
            displayName: "test")
        let session = MasterSession(
            settings: settings, resumePoint: nil, socketStore: NoSocketStore(), clock: { 0 }, onEvent: { _ in })
        do {
            _ = try await session.open()
        } catch let error as SourceError {
            return error
        }
        throw LabError("the session is open")
    }

    @Test(
        arguments: [
            ("ERR max number of clients reached", SourceError.Code.notReady),
            ("DENIED Redis is running in protected mode", .permission),
            ("NOAUTH Authentication required.", .permission),
            ("LOADING Dragonfly is loading the dataset in memory", .loading),
            ("ERR the backend is gone", .unreachable),
        ], [false, true])
    func `is quoted in the error of the session`(
        _ refusal: (words: String, code: SourceError.Code), isReset: Bool
    ) async throws {
        let server = try ScriptedServer { connection in
            connection.send("-\(refusal.words)\r\n")
            if isReset { connection.closesWithReset() }
        }
        for _ in 0..<5 {
            let error = try await self.refusal(by: server)
            #expect(error.message.contains(refusal.words), "\(error)")
            // In answer to the first request an unknown word is a refusal of that request.
            #expect(error.code == refusal.code || refusal.code == .unreachable, "\(error)")
        }
    }

    @Test func `leads to the same error on an ordinary connection as in a session`() {
        let peer = "127.0.0.1:6379"
        let errors: [(any Error, SourceError.Code)] = [
            (RequestFailure.tls(TLSError(.certificate, "untrusted")), .tls),
            (RequestFailure.tls(TLSError(.clientCertificate, "required")), .clientCertificate),
            (RequestFailure.tls(TLSError(.unanswered, "silence")), .unreachable),
            (RequestFailure.needsTLS(peer: peer), .tls),
            (RequestFailure.closedByPeer(peer: peer, reason: "NOAUTH"), .permission),
            (SystemError("socket", errno: 24, peer: peer), .exhausted),
            (SystemError("connect", errno: 111, peer: peer), .unreachable),
        ]
        for (error, code) in errors {
            #expect(SourceError(ordinary: error).code == code)
            #expect(SourceError(ordinary: error) == SourceError(error))
        }
        #expect(SourceError(ordinary: CancellationError()).code == .unreachable)
    }

    @Test func `is quoted in the error of the session if it was a flow's connection`() async throws {
        let server = try ScriptedServer { connection, number in
            guard number == 0 else {
                connection.send("-ERR max number of clients reached\r\n")
                return connection.closesWithReset()
            }
            while case let request = connection.receive(), !request.isEmpty {
                let id = String(repeating: "b", count: 40)
                connection.send(
                    request.contains("dragonfly")
                        ? "*4\r\n$40\r\n\(id)\r\n$5\r\nSYNC1\r\n:1\r\n:4\r\n" : "+OK\r\n")
            }
        }
        let error = try await refusal(by: server)
        #expect(error.code == .notReady, "\(error)")
        #expect(error.message.contains("ERR max number of clients reached"), "\(error)")
    }
}
