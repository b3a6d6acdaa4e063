import Lab
import Testing
import Wire

/// What the journal of a real Dragonfly says too little of, amongst random commands of every family.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Random writes that the journal says too little of` {
    @Test(.timeLimit(.minutes(10))) func `leave both sides equal, without a further full sync`() async throws {
        let seed = printedSeed()
        try await onThread {
            let master = try DragonflyServer(shards: 4)
            let redis = try RedisServer()
            let daemon = try Daemon(
                .replicate,
                .init(
                    source: master.port, target: redis.port,
                    sections: [
                        "shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: 2000"],
                        "verify": ["keysPerSecond: 20000"],
                        // What has come to differ unnoticed may refuse a command that the source has run.
                        "policy": ["onError: skip"],
                    ]))
            defer {
                daemon.process.kill()
                redis.stop()
                master.stop()
            }
            let (source, target) = (try master.client(), try redis.client())
            try daemon.wait(forLine: "stable: following")
            let writer = try RandomWriter(port: master.port, flushes: false, unrecorded: true, seed: seed)
            try wait(until: "enough is written", timeout: .seconds(240)) { writer.commandCount > 12_000 }
            try writer.stop()
            do {
                try waitUntilEqual(timeout: .seconds(120)) {
                    guard daemon.process.isRunning else { throw LabError("df2redis ended") }
                    return try ServerComparison(source: source, target: target).differences
                }
            } catch {
                throw LabError("\(error)\n\(daemon.status ?? [:])\n\(daemon.process.outputTail(lines: 40))")
            }
            print(daemon.status?["refreshes"] ?? "", daemon.status?["verify"] ?? "")
            #expect(daemon.status?["fullSyncs"] as? Int == 1)
            try daemon.leave()
            #expect(try ServerComparison(source: source, target: target).differences == [])
        }
    }
}
