import Foundation
import Lab
import Testing

/// A real Dragonfly under concurrent random writes of every family, followed into a real server.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `A real Dragonfly under load` {
    @Test(arguments: [1, 2, 4]) func `source and target are equal at the end, key by key`(_ shards: Int) throws {
        let master = try DragonflyServer(shards: shards)
        let redis = try RedisServer()
        defer {
            redis.stop()
            master.stop()
        }
        // A run is repeated, as far as the threads allow it, by its seed.
        let seed =
            ProcessInfo.processInfo.environment["DF2REDIS_SEED"].flatMap { UInt64($0) } ?? .random(in: 0 ... .max)
        print("seed \(seed)")

        // Some data before the sync, the same writers during it and behind it.
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
