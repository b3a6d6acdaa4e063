import DragonflySimulator
import Lab
import Testing
import Wire

@Suite(.serialized) struct `A database that the stable stream comes to` {
    @Test(arguments: ["target", "file"]) func `is noted before its first key, even if the task is killed at once`(
        _ store: String
    ) throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let client = try redis.client()
        master.execute("SET k v")
        let configuration = Daemon.Configuration(
            source: master.port, target: redis.port,
            sections: ["checkpoint": ["store: \(store)", "intervalSeconds: 3600"]])
        let folder = try TemporaryFolder("noted")
        let first = try Daemon(.replicate, configuration, folder: folder)
        defer { first.process.kill() }
        try first.wait(forLine: "stable: following")
        try client.command("SELECT", "5")
        master.execute("SET goes v", database: 5)
        master.execute("SET stays v", database: 5)
        // Two flows bring them, in either order.
        try wait(until: "both keys are there") { try client.command("EXISTS", "goes", "stays").int == 2 }
        first.process.kill()

        master.execute("DEL goes", database: 5)
        master.forgetBacklog()
        let second = try Daemon(.replicate, configuration, folder: folder)
        defer { second.process.kill() }
        try second.wait(forLine: "reconciled: 1 key removed")
        #expect(try client.command("EXISTS", "goes").int == 0)
        #expect(try client.command("EXISTS", "stays").int == 1)
        try second.leave()
    }

    @Test func `waits for a target that is away, and nothing else does`() throws {
        let master = try startedMaster()
        defer { master.stop() }
        let redis = try RedisServer()
        defer { redis.stop() }
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        redis.pause()
        master.execute("SET k v", database: 7)
        master.execute("SET k v")
        redis.resume()
        let client = try redis.client()
        try waitUntilEqual(RESPClient(port: master.port), client)
        #expect(try client.command("HGET", "df2redis:checkpoint:lab", "databases").text == "0,7")
        try daemon.leave()
    }
}
