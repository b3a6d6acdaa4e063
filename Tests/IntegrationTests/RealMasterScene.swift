import Foundation
import Lab
import Testing
import Wire

/// A real Dragonfly, a redis-server, and a task that replicates from the first to the second. The test that creates a scene
/// ends it.
struct RealMasterScene {
    let master: DragonflyServer
    let redis: RedisServer
    let source: RESPClient
    let target: RESPClient
    let daemon: Daemon

    /// - Parameters:
    ///   - verify: `verify.keysPerSecond`.
    ///   - fill: gives the source its data before the task starts.
    init(
        shards: Int, verify: Int, refresh: Int = 1000, sections: [String: [String]] = [:],
        fill: (RESPClient) throws -> Void = { _ in }
    ) throws {
        master = try DragonflyServer(shards: shards)
        redis = try RedisServer()
        (source, target) = (try master.client(), try redis.client())
        try fill(source)
        let usual = [
            "shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: \(refresh)"],
            "verify": ["keysPerSecond: \(verify)"],
        ]
        daemon = try Daemon(
            .replicate,
            .init(source: master.port, target: redis.port, sections: usual.merging(sections) { $1 }))
    }

    func end() {
        daemon.process.kill()
        redis.stop()
        master.stop()
    }

    /// - Throws: `LabError` when the task has ended.
    func differences() throws -> [Difference] {
        guard daemon.process.isRunning else {
            throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
        }
        return try ServerComparison(source: source, target: target).differences
    }
}
