import Dragonfly
import Foundation
import Lab
import Link
import Redis
import Testing

@testable import Replication

/// A port where connections are taken and nothing is ever answered.
private final class SilentServer: Sendable {
    private let listener: Int32
    let port: UInt16

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, size) == 0 && listen(listener, 8) == 0
                    && getsockname(listener, address, &size) == 0
            }
        }
        try #require(isBound)
        port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(listener) }

    /// The next connection, once its first bytes are there.
    func connection() async throws -> Int32 {
        var descriptor: Int32 = -1
        try await wait(until: "somebody connects", isolation: nil) {
            descriptor = accept(listener, nil, nil)
            return descriptor >= 0
        }
        let accepted = descriptor
        try await wait(until: "something is asked", isolation: nil) {
            var byte: UInt8 = 0
            return recv(accepted, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 1
        }
        return accepted
    }

    /// The other side has sent its FIN; what came before is dropped.
    static func hasEnded(_ descriptor: Int32) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
            if count <= 0 { return count == 0 }
        }
    }
}

@Suite struct `An applier that is closed` {
    @Test func `has given up its attempt to reach the target by then`() async throws {
        let (redis, silent) = (try RedisServer(), try SilentServer())
        let proxy = try TCPProxy(to: redis.port)
        defer { proxy.stop() }
        var target = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: proxy.port), clientName: "test")
        target.timeout = .seconds(120)
        let scene = EncoderScene(context: { [target] in $0.connector = TargetConnector(settings: target) })
        let intake = Intake(
            budget: SpoolBudget(memoryBytes: 1 << 20, diskBytes: 0), spoolDirectory: nil, clock: { 0 })
        let applier = FlowApplier(
            flow: FlowID(0), mode: .partial, next: LSN(1), intake: intake, context: scene.encoder.context,
            profile: scene.encoder.profile, onEvent: { _ in })
        await applier.continues(at: ResumePoint(replicationID: "id", nextLSNs: [LSN(1)]), repeating: true)
        try await applier.start {}
        proxy.redirect(to: silent.port)
        let connection = try await silent.connection()
        defer { close(connection) }
        await applier.close()
        try await wait(until: "the attempt has been given up", isolation: nil) { SilentServer.hasEnded(connection) }
    }
}
