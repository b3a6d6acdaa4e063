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
            // What has come to differ unnoticed may refuse a command that the source has run.
            let scene = try RealMasterScene(
                shards: 4, verify: 20_000, refresh: 2000, sections: ["policy": ["onError: skip"]])
            defer { scene.end() }
            let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
            try daemon.wait(forLine: "stable: following")
            let writer = try RandomWriter(port: scene.master.port, flushes: false, unrecorded: true, seed: seed)
            try wait(until: "enough is written", timeout: .seconds(240)) { writer.commandCount > 12_000 }
            try writer.stop()
            do {
                try waitUntilEqual(timeout: .seconds(120), scene.differences)
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
