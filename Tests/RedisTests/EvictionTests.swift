import Lab
import Link
import Redis
import Testing
import Wire

/// Commands of a lost connection that wait in the sockets of a paused server must not take effect later.
@Suite struct `Connections of an earlier process` {
    private static let increments = 3000
    private static let padding = [UInt8](repeating: UInt8(ascii: "x"), count: 1000)

    /// A transaction of megabytes: the server reads it in hundreds of turns, and serves others between them.
    private static func transaction(_ key: String) -> [[[UInt8]]] {
        let increment = [Array("APPEND".utf8), Array(key.utf8), padding]
        return [[Array("MULTI".utf8)]] + Array(repeating: increment, count: increments) + [[Array("EXEC".utf8)]]
    }

    private func connector(_ redis: RedisServer) -> TargetConnector {
        TargetConnector(
            settings: TargetSettings(
                endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:evicted"))
    }

    /// Leaves a transaction in the socket of a paused server, under a name of the task, and resumes the server.
    ///
    /// - Returns: what `connect`, called meanwhile, answers, and the lost connection: were it closed on our side, the
    ///   server's first replies would meet a RST, which ends it as well.
    private func leavingTransaction<R: Sendable>(
        in redis: RedisServer, role: String, _ connect: @escaping @Sendable () async throws -> R
    ) async throws -> (answer: R, lost: RESPClient) {
        let lost = try redis.client()
        try lost.command("CLIENT", "SETNAME", "df2redis:evicted:\(role)")
        redis.pause()
        try lost.post(Self.transaction("value"))
        let answer = Task { try await connect() }
        // The new connection's request is in the server's sockets too, or comes a moment later.
        try await Task.sleep(for: .milliseconds(20))
        redis.resume()
        return (try await answer.value, lost)
    }

    @Test func `are ended by a flow that connects again`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let connector = connector(redis)
        let (connection, lost) = try await leavingTransaction(in: redis, role: "flow-0") {
            try await connector.connect(role: "flow-0", replacing: true)
        }
        defer { withExtendedLifetime(lost) {} }
        let before = try await connection.request("STRLEN", "value").int
        let client = try redis.client()
        try wait(until: "nothing of the lost connection is left") {
            try client.command("CLIENT", "LIST").text?.split(separator: "\n").count == 2
        }
        #expect(try await connection.request("STRLEN", "value").int == before)
        await connection.close()
    }

    @Test func `are all ended by a new session of their task, and no others`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let other = try redis.client()
        try other.command("CLIENT", "SETNAME", "df2redis:evicted2:flow-0")
        let control = TargetControl(connector: connector(redis))
        let (isAllowed, lost) = try await leavingTransaction(in: redis, role: "flow-7") {
            try await control.evictPredecessors()
        }
        defer { withExtendedLifetime(lost) {} }
        #expect(isAllowed)
        let length = try other.command("STRLEN", "value").int
        let names = try #require(try other.command("CLIENT", "LIST").text)
        #expect(!names.contains("df2redis:evicted:flow-7"))
        #expect(names.contains("df2redis:evicted:control"))
        #expect(try other.command("STRLEN", "value").int == length)
        await control.close()
    }

    @Test func `are not ended if the target forbids it, which is reported`() async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        try redis.client().command("ACL", "SETUSER", "default", "-client|list")
        let control = TargetControl(connector: connector(redis))
        #expect(try await control.evictPredecessors() == false)
        await control.close()
    }
}
