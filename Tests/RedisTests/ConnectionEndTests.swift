import Foundation
import Lab
import Link
import Redis
import Testing
import Wire

/// The error of a target that closes a connection must be reported.
@Suite struct `A target that closes a connection` {
    private func connector(_ port: UInt16, host: String = "127.0.0.1") -> TargetConnector {
        TargetConnector(
            settings: TargetSettings(endpoint: Endpoint(host: host, port: port), clientName: "df2redis:ended"))
    }

    /// Connects several times: which of both sides is first is chance.
    private func expectRefusal(
        _ code: TargetError.Code, _ text: String, by connector: TargetConnector,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        for _ in 0..<10 {
            do {
                let connection = try await connector.connect(role: "control")
                _ = try await connector.profile(on: connection)
                Issue.record("nobody may come in", sourceLocation: sourceLocation)
            } catch {
                #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
                #expect(error.message.contains(text), "\(error)", sourceLocation: sourceLocation)
            }
        }
    }

    @Test func `because it has too many clients is reported as not ready`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        try client.command("CONFIG", "SET", "maxclients", "1")
        try await expectRefusal(.notReady, "ERR max number of clients reached", by: connector(redis.port))
        withExtendedLifetime(client) {}
    }

    @Test(.enabled(if: outerAddress != nil, "this machine has no address but loopback"))
    func `because it is in protected mode is reported as a missing permission`() async throws {
        let host = try #require(outerAddress)
        let redis = try RedisServer(["--bind", "127.0.0.1", host, "--protected-mode", "yes"])
        defer { redis.stop() }
        try await expectRefusal(.permission, "DENIED", by: connector(redis.port, host: host))
    }

    @Test(arguments: [
        ("ERR max number of clients reached", TargetError.Code.notReady),
        ("LOADING Redis is loading the dataset in memory", .loading),
        ("NOAUTH Authentication required.", .permission), ("ERR the backend is gone", .unreachable),
    ])
    func `with an error and a reset is reported with this error`(words: String, code: TargetError.Code) async throws {
        // Sent on connecting, or in answer to the first request.
        for isUnasked in [true, false] {
            let proxy = try ScriptedServer { connection in
                if !isUnasked { _ = connection.receive() }
                connection.send("-\(words)\r\n")
                connection.closesWithReset()
            }
            try await expectRefusal(code, words, by: connector(proxy.port))
        }
    }

    @Test func `between two requests loses none of them`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        let control = TargetControl(connector: connector(redis.port))
        for round in 1...20 {
            try await control.update("checkpoint", set: ["round": "\(round)"], remove: [])
            // As a target with a timeout does it: its FIN may meet the next request.
            try client.command("CLIENT", "KILL", "TYPE", "normal")
        }
        #expect(try await control.hash("checkpoint") == ["round": "20"])
        await control.close()
    }
}

/// An IPv4 address of this machine that is not loopback.
private let outerAddress: String? = {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return nil }
    defer { freeifaddrs(list) }
    for entry in sequence(first: list, next: { $0?.pointee.ifa_next }) {
        guard let address = entry?.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET else { continue }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard getnameinfo(address, size, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else { continue }
        let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if !name.hasPrefix("127.") { return name }
    }
    return nil
}()
