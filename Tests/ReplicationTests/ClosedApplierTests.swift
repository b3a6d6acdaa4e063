import Dragonfly
import Foundation
import Lab
import Link
import Redis
import Testing

@testable import Replication

/// A port that accepts connections and never answers.
private final class SilentServer: Sendable {
    private let listener: Listener
    var port: UInt16 { listener.port }

    init() throws { listener = try Listener(isBlocking: false) }

    /// The next connection, once its first bytes are there.
    func connection() async throws -> Int32 {
        var descriptor: Int32?
        try await wait(until: "somebody connects", isolation: nil) {
            descriptor = listener.accept()
            return descriptor != nil
        }
        let accepted = try #require(descriptor)
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
    @Test func `gives up its attempt to connect to the target`() async throws {
        let (redis, silent) = (try RedisServer(), try SilentServer())
        let proxy = try TCPProxy(to: redis.port)
        defer { proxy.stop() }
        var target = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: proxy.port), clientName: "test")
        target.timeout = .seconds(120)
        let scene = EncoderScene(context: { [target] in $0.connector = TargetConnector(settings: target) })
        let intake = Intake(
            budget: SpoolBudget(memoryBytes: 1 << 20, diskBytes: 0), spoolDirectory: nil, clock: { 0 })
        var start = FlowStart(mode: .partial, next: LSN(1))
        start.mayRepeat = true
        let applier = try FlowApplier(
            flow: FlowID(0), start: start, intake: intake, context: scene.context,
            profile: scene.profile, onEvent: { _ in })
        try await applier.start()
        proxy.redirect(to: silent.port)
        let connection = try await silent.connection()
        defer { close(connection) }
        await applier.close()
        try await wait(until: "the attempt has been given up", isolation: nil) { SilentServer.hasEnded(connection) }
    }
}
