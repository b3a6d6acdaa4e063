import Foundation
import Lab
import Testing
import Wire

/// Keys of a short TTL that the source keeps alive, ends, or lets expire while df2redis lags.
///
/// `DF2REDIS_LAG_SECONDS` lengthens the lag, and the keys' TTL with it: 30 for the whole form.
@Suite(.serialized) struct `TTLs under lag` {
    private static let lag =
        ProcessInfo.processInfo.environment["DF2REDIS_LAG_SECONDS"].flatMap { Double($0) } ?? 6

    private static let sources = DragonflyServer.isAvailable ? [false, true] : [false]

    @Test(arguments: sources) func `lose no key that the source keeps if the target is paused`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(isReal: isReal, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.follow()
        try scene.life.begin()
        try scene.stopTarget(for: Self.lag)
        try scene.life.end()
        try scene.expectEqual()
    }

    @Test(arguments: sources) func `lose no key during a full sync that lasts longer than the guard window`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(isReal: isReal, lag: Self.lag, guardSeconds: max(2, Self.lag / 5))
        defer { scene.stop() }
        try scene.life.fill(keys: 100_000)
        try scene.life.begin()
        // Resume the target only for a moment: it reads a few KiB of each connection.
        let client = try scene.redis.client()
        try scene.startDaemon()
        try scene.daemon?.wait(forLine: "full sync begins")
        scene.redis.pause()
        try scene.life.goOn(for: Self.lag) {
            scene.redis.resume()
            try client.command("PING")
            scene.redis.pause()
            blockThread(for: .milliseconds(Int(Self.lag * 10)))
        }
        #expect(scene.daemon?.log.contains("stable: following") == false, "the full sync lasted")
        scene.redis.resume()
        try scene.life.end()
        try scene.life.removeFill(keys: 100_000)
        try scene.expectEqual()
    }

    @Test(arguments: sources) func `lose no key if the daemon is killed and resumes`(_ isReal: Bool) throws {
        let scene = try ExpiryScene(isReal: isReal, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.follow()
        try scene.life.begin()
        try scene.life.goOn(for: 2)
        scene.daemon?.process.kill()
        try scene.life.goOn(for: min(Self.lag, 10))
        try scene.startDaemon(again: true)
        try scene.daemon?.wait(forLine: "resuming at the checkpoint")
        try scene.life.goOn(for: 2)
        try scene.life.end()
        try scene.expectEqual()
    }

    @Test(arguments: sources) func `lose no key if the source extends deadlines during a restart`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(isReal: isReal, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.restart()
        try scene.expectEqual()
    }

    @Test(arguments: sources) func `are exact without a guard window, and keys lost under lag are reported`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(isReal: isReal, lag: 30, guardSeconds: 0)
        defer { scene.stop() }
        try scene.follow()
        try scene.life.begin()
        try scene.life.goOn(for: 3)
        try waitUntilEqual { try scene.differences(of: "extended:", allowing: []) }
        #expect(try scene.redis.client().command("EXISTS", "extended:0") == .integer(1))
        try scene.stopTarget(for: 7)
        try scene.life.end()
        let daemon = try #require(scene.daemon)
        let keys = Set((0..<40).map { "extended:\($0)" })
        try wait(until: "the keys that the target lacks are told") {
            keys.isSubset(of: daemon.deadLetters.filter { $0.kind == "missing-key" }.map(\.key))
        }
        #expect(try scene.source.client().command("EXISTS", "extended:0") == .integer(1))
        #expect(try scene.redis.client().command("EXISTS", "extended:0") == .integer(0))
    }

    @Test(arguments: sources) func `of one second are set, and the time that a plain GETEX journals is not`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(isReal: isReal, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.follow()
        let (source, target) = (try scene.source.client(), try scene.redis.client())
        for key in ["short", "read"] { try source.command("SET", key, "v") }
        try source.command("EXPIRE", "short", "1")
        try source.command("GETEX", "read")
        let ends = (0..<20).map { "end:\($0)" }
        for key in ends { try source.command("SET", key, "v") }
        try wait(until: "each shard's last record is applied") {
            try target.command(["EXISTS"] + ends) == .integer(20)
        }
        #expect(try target.command("PEXPIRETIME", "short").int ?? 0 > 0)
        #expect(try target.command("PEXPIRETIME", "read") == .integer(-1))
    }

    @Test func `are reported as later than the source's after a leave while the target hangs`() throws {
        let scene = try ExpiryScene(isReal: false, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.follow()
        let source = try scene.source.client()
        for index in 0..<200 { try source.command("SET", "k:\(index)", "v", "EX", "60") }
        try wait(until: "they are there") { try scene.redis.client().command("DBSIZE").int ?? 0 > 200 }
        scene.redis.pause()
        let daemon = try #require(scene.daemon)
        try daemon.leave()
        #expect(daemon.logs("keys near their end are left with a TTL later than the source's"))
        #expect(!daemon.log.contains("TTLs are the source's"))
    }

    @Test func `are the source's after a leave while the source is away`() throws {
        let scene = try ExpiryScene(isReal: false, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.follow()
        try scene.life.begin()
        try scene.life.end()
        let expected = try ServerData(reading: scene.source.client())
        try waitUntilEqual { try scene.differences(from: expected, allowing: [90_337]) }
        // (Unless VALKEY_SERVER has put a Valkey in the Redis's place.)
        if try scene.redis.client().command("CONFIG", "GET", "import-mode").array?.isEmpty != false {
            #expect(try !scene.differences(from: expected, allowing: []).isEmpty, "there are margins")
        }
        _ = scene.source.stop()
        try scene.daemon?.wait(forLine: "another attempt in")
        try scene.leave(from: expected)
    }

    @Test(.enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no Valkey"), arguments: sources)
    func `are always the source's on a Valkey in import mode, which loses no key`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(
            isReal: isReal, lag: Self.lag, guardSeconds: 0, binary: RedisServer.valkeyBinary)
        defer { scene.stop() }
        try scene.follow()
        try scene.life.begin()
        try scene.stopTarget(for: Self.lag)
        try scene.life.goOn(for: 1)
        // Killed and started again: still in import mode, and switched off by the one that leaves.
        scene.daemon?.process.kill()
        try scene.life.goOn(for: min(Self.lag, 10))
        try scene.startDaemon(again: true)
        try scene.daemon?.wait(forLine: "resuming at the checkpoint")
        try scene.life.end()
        try waitUntilEqual { try scene.differences(allowing: []) }
        let client = try scene.redis.client()
        #expect(try client.command("CONFIG", "GET", "import-mode").array?.last?.text == "yes")
        try scene.leave()
        #expect(try client.command("CONFIG", "GET", "import-mode").array?.last?.text == "no")
    }

    @Test(.enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no Valkey"), arguments: sources)
    func `lose no key on a Valkey that leaves import mode during a restart`(
        _ isReal: Bool
    ) throws {
        let scene = try ExpiryScene(
            isReal: isReal, lag: Self.lag, guardSeconds: 0, binary: RedisServer.valkeyBinary)
        defer { scene.stop() }
        try scene.restart()
        try scene.expectEqual()
    }

    @Test(.enabled(if: RedisServer.valkeyBinary != nil, "VALKEY_BIN names no Valkey"))
    func `are guarded as on a Redis if the user may not set a Valkey's import mode`() throws {
        let scene = try ExpiryScene(
            isReal: false, lag: Self.lag, guardSeconds: 60, binary: RedisServer.valkeyBinary)
        defer { scene.stop() }
        try scene.redis.client().command("ACL", "SETUSER", "default", "-config|set")
        try scene.follow()
        #expect(scene.daemon?.log.contains("cannot switch the target's import mode on") == true)
        try scene.life.begin()
        try scene.stopTarget(for: Self.lag)
        try scene.life.end()
        try scene.expectEqual()
    }

    @Test func `are the source's after a migration`() throws {
        let scene = try ExpiryScene(isReal: false, lag: Self.lag, guardSeconds: 60)
        defer { scene.stop() }
        try scene.life.begin()
        try scene.life.end()
        let daemon = try Daemon(.migrate, scene.configuration)
        defer { daemon.process.kill() }
        try daemon.expectExit(0)
        #expect(try scene.differences(allowing: []) == [])
        let files = FileManager.default.subpaths(atPath: daemon.folder.file("state")) ?? []
        #expect(files.filter { $0.contains("expiry") } == [], "nothing is left of what was noted")
    }
}

/// A source, a real target, and a daemon between them.
private final class ExpiryScene {
    let source: TortureSource
    let redis: RedisServer
    let life: VolatileLife
    let configuration: Daemon.Configuration
    private(set) var daemon: Daemon?
    private let guardSeconds: Double

    /// - Parameter lag: a long one comes with TTLs of 5 s, a short one with 2 s.
    init(isReal: Bool, lag: Double, guardSeconds: Double, binary: String? = nil) throws {
        source = try TortureSource(shards: 2, isReal: isReal)
        redis = try RedisServer(binary: binary)
        self.guardSeconds = guardSeconds
        life = try VolatileLife(source.client(), milliseconds: lag >= 30 ? 5000 : 2000)
        configuration = .init(
            source: source.port, target: redis.port, sections: ["expiry": ["guardSeconds: \(guardSeconds)"]])
    }

    func startDaemon(again: Bool = false) throws {
        daemon = try Daemon(.replicate, configuration, folder: again ? daemon?.folder : nil)
    }

    func follow() throws {
        try startDaemon()
        try daemon?.wait(forLine: "stable: following")
    }

    /// The target is stopped for so many seconds; the source is not.
    func stopTarget(for seconds: Double) throws {
        redis.pause()
        try life.goOn(for: seconds)
        redis.resume()
    }

    /// Leaves, and starts again when all earlier deadlines have passed; the source keeps extending them meanwhile.
    func restart() throws {
        try follow()
        try life.begin()
        try life.goOn(for: 2)
        try daemon?.leave()
        try life.goOn(for: Double(life.milliseconds) / 1000 + 1)
        try startDaemon(again: true)
        try daemon?.wait(forLine: "resuming at the checkpoint")
        try life.goOn(for: 1)
        try life.end()
    }

    func stop() {
        daemon?.process.kill()
        redis.resume()
        redis.stop()
        _ = source.stop()
    }

    /// Equal once the lag is gone, except for keys due within the guard window; equal to the millisecond after the leave.
    func expectEqual() throws {
        let standing = Int(guardSeconds * 1500) + 337
        try waitUntilEqual(timeout: .seconds(30)) {
            guard let daemon, daemon.process.isRunning else {
                throw LabError("df2redis ended:\n\(daemon?.process.outputTail(lines: 30) ?? "")")
            }
            return try differences(allowing: [standing])
        }
        try leave()
        #expect(try ServerData(reading: redis.client()).count > 100, "there was something to compare")
    }

    /// After a leave TTLs are exact, except for keys due within the time that a restart may take, which soon expire.
    func leave(from expected: ServerData? = nil) throws {
        try daemon?.leave()
        let restartEnd = Self.now + Self.marginBehindLeave
        try waitUntilEqual(timeout: .seconds(30)) {
            try differences(
                from: expected ?? ServerData(reading: source.client()), allowing: [Self.marginBehindLeave],
                dueBefore: restartEnd)
        }
    }

    private static let marginBehindLeave = 10_171
    private static var now: Int { Int(Date().timeIntervalSince1970 * 1000) }

    /// - Parameter margins: by how much the TTL of a key that is due soon may be later.
    func differences(allowing margins: [Int]) throws -> [Difference] {
        try differences(from: ServerData(reading: source.client()), allowing: margins)
    }

    func differences(of prefix: String, allowing margins: [Int]) throws -> [Difference] {
        try differences(allowing: margins).filter { $0.key.starts(with: prefix.utf8) }
    }

    func differences(
        from expected: ServerData, allowing margins: [Int], dueBefore end: Int? = nil
    ) throws -> [Difference] {
        let actual = try ServerData(reading: redis.client()).withoutCheckpoints
        let soon = end ?? Self.now + Int(guardSeconds * 1500) + 5000
        return expected.differences(in: actual).filter { difference in
            guard case .expiry(let right, let found) = difference.kind, right < soon else { return true }
            return !margins.contains(found - right)
        }
    }
}

/// What clients do to keys with a TTL.
private final class VolatileLife {
    private static let keysOfAKind = 40

    private let client: RESPClient
    let milliseconds: Int
    private var round = 0

    init(_ client: RESPClient, milliseconds: Int) { (self.client, self.milliseconds) = (client, milliseconds) }

    private func send(_ lines: [String]) throws {
        for reply in try client.pipeline(lines.map { $0.split(separator: " ").map { Array($0.utf8) } }) {
            // A missing key is no error.
            if case .error(let text) = reply, text != "ERR no such key" { throw LabError(text) }
        }
    }

    func fill(keys: Int) throws {
        for start in stride(from: 0, to: keys, by: 1000) {
            try send((start..<start + 1000).map { "SET bulk:\($0) \(String(repeating: "v", count: 400))" })
        }
    }

    func removeFill(keys: Int) throws {
        for start in stride(from: 0, to: keys, by: 1000) {
            try send(["DEL " + (start..<start + 1000).map { "bulk:\($0)" }.joined(separator: " ")])
        }
    }

    /// Keys of every kind, with the short TTL.
    func begin() throws {
        let kinds = ["extended", "persisted", "appended", "counted", "kept", "renamed", "a", "expired", "over"]
        for kind in kinds {
            try send(
                (0..<Self.keysOfAKind).map { "SET \(kind):\($0) \(kind == "counted" ? "1" : "v") PX \(milliseconds)" })
        }
        try send((0..<Self.keysOfAKind).map { "RPUSH list:\($0) a" })
        try send((0..<Self.keysOfAKind).map { "PEXPIRE list:\($0) \(milliseconds)" })
    }

    /// Keeps writing for `seconds`; `body` runs from time to time.
    func goOn(for seconds: Double, _ body: () throws -> Void = {}) throws {
        let end = ContinuousClock.now + .seconds(seconds)
        var nextRound = ContinuousClock.now
        while ContinuousClock.now < end {
            if ContinuousClock.now >= nextRound {
                try liveOn()
                nextRound = .now + .milliseconds(milliseconds / 4)
            }
            try body()
            blockThread(for: .milliseconds(50))
        }
    }

    private func liveOn() throws {
        round += 1
        let (round, ttl) = (round, milliseconds)
        try send(
            (0..<Self.keysOfAKind).flatMap { index in
                var lines = [
                    "PEXPIRE extended:\(index) \(ttl)",
                    "APPEND appended:\(index) \(round)", "PEXPIRE appended:\(index) \(ttl)",
                    "INCR counted:\(index)", "PEXPIRE counted:\(index) \(ttl)",
                    "PEXPIRE kept:\(index) \(ttl)", "SET kept:\(index) \(round) KEEPTTL",
                    "RPUSH list:\(index) \(round)", "PEXPIRE list:\(index) \(ttl)",
                    "PEXPIRE over:\(index) \(ttl)", "PEXPIRE moved:\(index) \(ttl)",
                    "SET made:\(round):\(index) v PX \(ttl)",
                ]
                // Those of every second round are kept, the others expire.
                for older in stride(from: 2, to: round, by: 2) {
                    lines.append("PEXPIRE made:\(older):\(index) \(ttl)")
                }
                if round % 5 == 0 { lines.append("SET again:\(index) \(round) PX \(ttl / 2)") }
                if round < 4 { lines += ["PEXPIRE persisted:\(index) \(ttl)", "PEXPIRE renamed:\(index) \(ttl)"] }
                if round == 4 {
                    lines += ["PERSIST persisted:\(index)", "RENAME renamed:\(index) moved:\(index)"]
                    lines += ["SET over2:\(index) w PX \(ttl * 2)", "RENAME over2:\(index) over:\(index)"]
                }
                return lines
            })
    }

    /// Extends the remaining keys by three quarters of a minute, or by an hour.
    func end() throws {
        var lines: [String] = []
        for kind in ["extended", "appended", "counted", "kept", "list", "over", "moved", "again"] {
            for index in 0..<Self.keysOfAKind {
                lines.append("PEXPIRE \(kind):\(index) \(index % 2 == 0 ? 45_000 : 3_600_000)")
            }
        }
        try send(lines)
    }
}
