import Base
import Lab
import Testing
import Wire

/// Commands whose journal records of a real Dragonfly are incomplete, among random commands of every family.
@Suite(
    .serialized,
    .enabled(if: DragonflyServer.isAvailable, "DRAGONFLY_BIN names no real Dragonfly"))
struct `Random writes with incomplete journal records` {
    @Test(.timeLimit(.minutes(10))) func `leave both sides equal, without a further full sync`() async throws {
        let seed = printedSeed()
        try await onThread {
            // What has come to differ unnoticed may refuse a command that the source has run.
            let scene = try RealMasterScene(
                shards: 4, verify: 20_000, refresh: 2000, sections: ["policy": ["onError: skip"]])
            defer { scene.end() }
            let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
            try daemon.wait(forLine: "stable: following")
            let writer = try RandomWriter(
                port: scene.master.port, flushes: false, incompletelyJournaled: true, seed: seed)
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

    /// Sorted sets of every size, and members of more than 32 bytes, of which the source makes skip lists.
    @Test func `of ZADD with GT or LT have the same effect as at the source`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 0)
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "stable: following")
        var random = SplitMix64(seed: printedSeed())
        func number(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        for _ in 0..<40 {
            let commands: [[String]] = (0..<200).map { _ in
                let size = [5, 40, 400][number(3)]
                let isLong = number(40) == 0
                let member = "m\(number(size))" + (isLong ? String(repeating: "x", count: 32) : "")
                let score = ["\(number(1000) - 500)", "\(number(100)).5", "inf", "-inf"][
                    [0, 0, 0, 0, 1, 1, 2, 3][number(8)]]
                let key = "z:\(size):\(number(4)):\(number(20) == 0 ? "long" : "short")"
                if isLong, key.hasSuffix("short") { return ["ZREM", key, member] }
                let options = [
                    ["GT"], ["LT"], ["GT", "CH"], ["XX", "LT"], ["xx", "gt"], ["LT", "INCR"], ["GT", "INCR"], [],
                ]
                return ["ZADD", key] + options[number(options.count)] + [score, member]
            }
            _ = try source.pipeline(commands.map { $0.map { Array($0.utf8) } })
        }
        try waitUntilEqual(timeout: .seconds(30), scene.differences)
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        print(daemon.status?["incidents"] ?? "", daemon.status?["refreshes"] ?? "")
        try daemon.leave()
        #expect(try ServerComparison(source: source, target: target).differences == [])
    }
}
