import Base
import Foundation
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

    /// Lists of several nodes, in which a v1.36.0 puts other elements in another place.
    @Test func `of LINSERT and LSET leave lists in the source's order`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 0)
        defer { scene.end() }
        let (source, target, daemon) = (scene.source, scene.target, scene.daemon)
        try daemon.wait(forLine: "stable: following")
        var random = SplitMix64(seed: printedSeed())
        func number(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
        for list in 0..<100 {
            let count = [3, 30, 300][number(3)]
            let padding = String(repeating: "x", count: [1, 100, 1000][number(3)])
            try source.command(["RPUSH", "l:\(list)"] + (0..<count).map { "\($0):\(padding)" })
            for new in 0..<5 {
                let place = number(3) == 0 ? 0 : number(count)
                try source.command(
                    "LINSERT", "l:\(list)", number(2) == 0 ? "BEFORE" : "AFTER", "\(place):\(padding)",
                    "new \(new)\(padding)")
            }
            // Two of them in one list can crash it.
            if number(2) == 0 {
                try source.command("LSET", "l:\(list)", "\(number(count))", String(repeating: "y", count: 9000))
            }
        }
        try waitUntilEqual(timeout: .seconds(30), scene.differences)
        #expect(daemon.status?["fullSyncs"] as? Int == 1)
        #expect((daemon.status?["incidents"] as? [String: Int])?["list-order"] ?? 0 == 0)
        try daemon.leave()
        #expect(try ServerComparison(source: source, target: target).differences == [])
    }

    @Test func `of RESTORE with a TTL, while no task runs, get the source's deadline`() throws {
        let scene = try RealMasterScene(shards: 2, verify: 0)
        defer { scene.end() }
        let (source, target) = (scene.source, scene.target)
        try scene.daemon.wait(forLine: "stable: following")
        try source.command("SET", "model", "v")
        let payload = try #require(try source.command("DUMP", "model").bytes)
        try wait(until: "the model is applied") { try target.command("GET", "model").text == "v" }
        scene.daemon.process.kill()
        for number in 0..<20 {
            _ = try source.send([Array("RESTORE".utf8), Array("r:\(number)".utf8), Array("300000".utf8), payload])
        }
        Thread.sleep(forTimeInterval: 3)
        let next = try Daemon(
            .replicate,
            .init(
                source: scene.master.port, target: scene.redis.port,
                sections: ["shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: 1000"]]),
            folder: scene.daemon.folder)
        defer { next.process.kill() }
        try next.wait(forLine: "event=stable")
        func late() throws -> [Int64] {
            try (0..<20).map { number in
                let deadlines = try [source, target].map { try $0.command("PEXPIRETIME", "r:\(number)").int ?? 0 }
                return deadlines[1] - deadlines[0]
            }
        }
        try wait(until: "the deadlines are the source's") { try late().allSatisfy { $0 == 0 } }
        #expect(next.status?["fullSyncs"] as? Int == 0)
        try next.leave()
    }
}
