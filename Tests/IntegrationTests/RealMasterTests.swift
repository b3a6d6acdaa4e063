import Foundation
import Lab
import Testing
import Wire

/// A real Dragonfly under concurrent random writes of every family, followed into a real server.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `A real Dragonfly under load` {
    @Test(arguments: [1, 2, 4]) func `is equal to its target in the end, key by key`(_ shards: Int) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        // A run is repeated, as far as the threads allow it, by its seed.
        let seed = printedSeed()

        // Some data before the sync, the same writers during it and after it.
        let writer = try RandomWriter(port: master.port, seed: seed)
        try wait(until: "there is data to sync") { writer.commandCount > 5000 }
        let daemon = try Daemon(.replicate, .init(source: master.port, target: redis.port))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable")
        writer.beginMovingKeys()
        let atStable = writer.commandCount
        try wait(until: "commands were written in stable sync") {
            guard daemon.process.isRunning else {
                throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
            }
            return writer.commandCount > atStable + 50_000
        }
        try writer.stop()

        var hasLeft = false
        let (source, target) = (try master.client(), try redis.client())
        func differences() throws -> [Difference] {
            guard daemon.process.isRunning || hasLeft else {
                throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
            }
            return try ServerData(reading: source).differences(in: ServerData(reading: target).withoutCheckpoints)
        }
        try waitUntilEqual(timeout: .seconds(30), differences)
        try daemon.leave()
        hasLeft = true
        #expect(try differences() == [], "seed \(seed)")
        #expect(try ServerData(reading: target).count > 100, "there was something to compare")
    }
}

/// DEBUG POPULATE bypasses the master's transactions: if it runs at the end of a full sync, records of a flow are
/// numbered and never sent.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `A real Dragonfly that is populated` {
    @Test(arguments: [1, 2, 4]) func `while a full sync ends has all its keys at the target afterwards`(
        _ shards: Int
    ) async throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        let (source, target) = (try master.client(), try redis.client())
        try source.command("DEBUG", "POPULATE", "100000", "before", "16")
        let port = master.port
        async let populated = onThread {
            try RESPClient(port: port, timeout: .seconds(120)).command("DEBUG", "POPULATE", "300000", "during", "16")
                .text
        }
        let sections = ["reconnect": ["initialMilliseconds: 20", "maxSeconds: 0.2"], "shutdown": ["drainSeconds: 0"]]
        let daemon = try Daemon(.replicate, .init(source: port, target: redis.port, sections: sections))
        defer { daemon.process.kill() }
        #expect(try await populated == "OK")
        try source.command("SET", "last", "v")
        try wait(until: "the target has all of it", timeout: .seconds(120)) {
            guard daemon.process.isRunning else {
                throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
            }
            return try target.dataKeys == 400_001
        }
        print("full syncs: \(daemon.status?["fullSyncs"] ?? 0)")
        try daemon.leave()
        #expect(try source.command("DBSIZE").int == 400_001)
        #expect(try target.dataKeys == 400_001)
    }
}
