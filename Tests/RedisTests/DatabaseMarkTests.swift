import Lab
import Link
import Testing
import Wire

@testable import Redis

@Suite struct `The mark of a database` {
    private let task = TaskRegistry(checkpoint: "df2redis:checkpoint:test")

    private func withTarget(
        _ body: (TargetControl, RESPClient) async throws -> Void
    ) async throws {
        let redis = try RedisServer()
        defer { redis.stop() }
        let settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "df2redis:test")
        let control = TargetControl(connector: TargetConnector(settings: settings))
        try await control.register(
            [0, 3, 5], in: task, marking: [3, 5], of: "test", with: [["HSET", "hash", "marked", "3,5"]], at: "hash")
        try await body(control, redis.client())
        await control.close()
    }

    private func lacking(_ control: TargetControl) async throws -> Set<UInt32> {
        let found = try await control.marks(of: "test", in: [3, 5], with: "hash")
        #expect(found.fields == ["marked": "3,5"])
        return DatabaseMark.lacking([3, 5], in: found.marks)
    }

    @Test func `is lost with the database's keys, and differs between databases`() async throws {
        try await withTarget { control, client in
            #expect(try await lacking(control) == [])
            try client.command("SWAPDB", "3", "5")
            #expect(try await lacking(control) == [3, 5])
            try client.command("SWAPDB", "5", "3")
            #expect(try await lacking(control) == [])
            try client.command("SELECT", "5")
            try client.command("FLUSHDB")
            #expect(try await lacking(control) == [5])
            // The connection is in database 0 as before.
            #expect(try await control.hash("hash") == ["marked": "3,5"])
        }
    }

    @Test(arguments: [GlobalCommand.flushAll, .flushDatabase(3), .flushDatabase(5)], [true, false])
    func `remains after a flush of the source, in one step or key by key`(
        _ command: GlobalCommand, isAtOnce: Bool
    ) async throws {
        try await withTarget { control, client in
            try client.command("SELECT", "3")
            try client.command("SET", "key", "v")
            var flush = Flush(
                command, task: "test", checkpointKey: "hash", fields: [("marked", "3,5")], registry: task)
            (flush.databases, flush.marked, flush.canFlush) = ([0, 3, 5], [3, 5], isAtOnce)
            _ = try await control.run(flush)
            #expect(try await lacking(control) == [])
            #expect(try client.command("EXISTS", "key").int == (command == .flushDatabase(5) ? 1 : 0))
        }
    }

    @Test func `counts as one of df2redis' own keys`() async throws {
        try await withTarget { control, _ in
            #expect(ReservedKeys(checkpoint: "hash").contains(Array(DatabaseMark.key(task: "test").utf8)))
            let with = try await control.ownKeyCount(checkpoint: "hash", task: "test", in: 3)
            let without = try await control.ownKeyCount(checkpoint: "hash", task: "test", in: 4)
            #expect((with, without) == (1, 0))
        }
    }
}
