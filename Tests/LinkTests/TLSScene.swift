import COpenSSL
import Dispatch
import Foundation
import Lab
import Testing

@testable import Link

/// A certificate authority, a server for each test, and the settings of a client that trusts the authority.
struct TLSScene {
    let authority: CertificateAuthority
    /// An authority that nobody trusts.
    let stranger: CertificateAuthority
    var settings: TLSSettings

    init() throws {
        authority = try CertificateAuthority()
        stranger = try CertificateAuthority("another CA")
        settings = TLSSettings(section: "target.tls")
        settings.caFile = authority.file
    }

    /// A server that does the handshake and runs `script`; it closes the connection if the handshake fails.
    func server(
        _ files: CertificateFiles? = nil, clientAuthority: String? = nil,
        versions: ClosedRange<Int32> = TLS1_2_VERSION...TLS1_3_VERSION,
        _ script: @escaping @Sendable (TLSPeer) -> Void = { TLSScene.answer($0) }
    ) throws -> ScriptedServer {
        let options = TLSPeer.Options(
            try files ?? authority.issue(), clientAuthority: clientAuthority, versions: versions)
        return try ScriptedServer { connection in
            if let peer = try? TLSPeer(connection.descriptor, options) { script(peer) }
        }
    }

    /// Answers each piece that the client sends with `+OK`, until the client ends.
    static func answer(_ peer: TLSPeer) {
        while case .bytes = peer.receive() { peer.send("+OK\r\n") }
        peer.finish()
    }

    func connect(to server: ScriptedServer) async throws -> RequestConnection {
        try await RequestConnection.connect(
            to: Endpoint(host: "127.0.0.1", port: server.port), tls: settings, label: "test", timeout: .seconds(10))
    }

    /// The error of a connection to `server`, in the handshake or with the first request.
    func failure(at server: ScriptedServer) async throws -> TLSError {
        try await Self.failure(at: Endpoint(host: "127.0.0.1", port: server.port), settings)
    }

    static func failure(at endpoint: Endpoint, _ settings: TLSSettings) async throws -> TLSError {
        do {
            let connection = try await RequestConnection.connect(
                to: endpoint, tls: settings, label: "test", timeout: .seconds(10))
            defer { Task { await connection.close() } }
            let reply = try await connection.request("PING")
            throw LabError("it was answered: \(reply)")
        } catch RequestFailure.tls(let error) {
            return error
        }
    }

    /// A channel on a queue of its own, after the handshake.
    func channel(to server: ScriptedServer) async throws -> OnQueue<Channel> {
        let connection = try await connect(to: server)
        let socket = try await connection.detach().socket
        let queue = DispatchQueue(label: "test")
        return queue.sync { OnQueue(Channel(socket, peer: "peer", queue: queue), queue) }
    }
}

/// A value that is accessed on its queue only.
final class OnQueue<Value>: @unchecked Sendable {  // every access is on the queue
    private let value: Value
    private let queue: DispatchQueue

    init(_ value: Value, _ queue: DispatchQueue) { (self.value, self.queue) = (value, queue) }

    func run<R>(_ body: (Value) throws -> R) rethrows -> R { try queue.sync { try body(value) } }
}
