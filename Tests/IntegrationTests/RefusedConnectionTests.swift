import DragonflySimulator
import Foundation
import Lab
import Testing

/// A server that gives a reason before it closes a connection: the log shows that reason.
@Suite(.serialized) struct `A connection that a server refuses` {
    @Test func `is logged with the words of a target that has too many clients`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        try client.command("CONFIG", "SET", "maxclients", "1")
        for _ in 0..<3 {
            let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
            try daemon.expectExit(75)
            #expect(daemon.logs("ERR max number of clients reached"), "\(daemon.log)")
        }
        withExtendedLifetime(client) {}
    }

    @Test(arguments: [
        ("ERR max number of clients reached", Int32(69)), ("DENIED Redis is running in protected mode", 77),
    ])
    func `is logged with the words of the source`(words: String, code: Int32) throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let source = try ScriptedServer { connection in
            connection.send("-\(words)\r\n")
            connection.closesWithReset()
        }
        for _ in 0..<3 {
            let daemon = try Daemon(.replicate, .init(source: source.port, target: redis.port))
            try daemon.expectExit(code)
            #expect(daemon.logs(words), "\(daemon.log)")
        }
    }
}
