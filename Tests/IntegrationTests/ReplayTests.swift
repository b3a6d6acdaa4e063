import Foundation
import Lab
import Testing

/// Every recording goes through the real daemon into a real server, and must come out as what the master held.
@Suite(.serialized) struct `Recordings replayed into a real server` {
    /// What a recording's stream does not carry, so that no replica can have it right; Protocol 5.6 gives
    /// the rows. The daemon must name these keys.
    private struct Exceptions {
        /// Keys whose value the stream lacks, or the target cannot hold: by name, their kind in
        /// the dead-letter file.
        var keys: [String: String] = [:]
        /// Keys with a lifetime counted from when the record is received: Protocol 5.6 row 12.
        var relativeMilliseconds: [String: Int] = [:]
        var databases: Set<Int> = [0]
    }

    private static func exceptions(_ name: String) -> Exceptions {
        // Row 10: XREADGROUP is not in the journal before v1.37. Row 6: STORE over two shards comes as fragments.
        let (reads, sort, radius) = ("consumer-group-reads", "fragmented-sort", "fragmented-georadius")
        let restored = ["restored2": 100_000_000]
        return switch name {
        case "one-shard":
            Exceptions(keys: ["x": reads], relativeMilliseconds: restored, databases: [0, 3])
        case "live-ops":
            Exceptions(keys: ["x": reads, "lsort": sort], relativeMilliseconds: restored, databases: [0, 3])
        case "four-shards":
            Exceptions(
                keys: ["x": reads, "lsort": sort, "geod": radius], relativeMilliseconds: restored, databases: [0, 3])
        case "v1.40.1/live-ops": Exceptions(relativeMilliseconds: restored, databases: [0, 3])
        case "v1.40.1/expiries":
            Exceptions(databases: [0, 3])
        case "foreign", "v1.40.1/foreign":
            Exceptions(keys: ["json:doc": "json", "bf": "bloom-filter"])
        default: Exceptions()
        }
    }

    private static let names = (try? RecordedRun.all(in: recordingsFolder).map(\.name)) ?? []

    @Test(arguments: names) func `give the target the master's data, before and after the leave`(
        _ name: String
    ) throws {
        try replay(name, simulator: [])
    }

    @Test(arguments: [
        ("types", "every:1"), ("types-lzf", "every:7"), ("types-raw", "random:3:4000"), ("types-zstd", "random:4:90"),
        ("live-ops", "every:1"), ("four-shards", "random:5:40"), ("live-flush", "every:3"), ("foreign", "every:1"),
        ("v1.40.1/types", "random:6:300"), ("v1.40.1/big", "random:7:100000"), ("under-load", "random:8:20000"),
    ])
    func `give the target the master's data, however the master's writes are split`(
        _ name: String, _ split: String
    ) throws {
        try replay(name, simulator: ["--split", split])
    }

    private func replay(_ name: String, simulator options: [String]) throws {
        let replay = try recording(name).prepareReplay()
        let redis = try RedisServer()
        let master = try SimulatorProcess(["--replay", replay.folder.path] + options)
        let begin = Self.nowMilliseconds
        let daemon = try Daemon(
            .replicate,
            .init(
                source: master.port, target: redis.port,
                sections: ["policy": ["onUnsupported: skip"], "shutdown": ["drainSeconds: 1"]]))
        defer {
            daemon.process.kill()
            master.stop()
            redis.stop()
        }

        let client = try redis.client()
        let exceptions = Self.exceptions(name)
        func unexplained() throws -> [Difference] {
            guard daemon.process.isRunning else {
                throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
            }
            let lifetimes = begin...Self.nowMilliseconds
            return try Self.unexplained(
                replay.expected.differences(in: try ServerData(reading: client).withoutCheckpoints), exceptions,
                lifetimes)
        }
        try daemon.wait(forLine: "stable")
        try waitUntilEqual(unexplained)
        let letters = daemon.deadLetters
        for database in exceptions.databases {
            for (key, kind) in exceptions.keys {
                #expect(
                    letters.contains(DeadLetter(kind: kind, database: database, key: key)),
                    "\(key) in database \(database) is not named: \(letters)")
            }
        }

        try daemon.leave()
        let lifetimes = begin...Self.nowMilliseconds
        let left = try replay.expected.differences(in: ServerData(reading: client).withoutCheckpoints)
        #expect(Self.unexplained(left, exceptions, lifetimes) == [])
        #expect(master.stop() == [], "what the master saw")
    }

    /// The differences that no exception accounts for.
    private static func unexplained(
        _ differences: [Difference], _ exceptions: Exceptions, _ received: ClosedRange<Int>
    ) -> [Difference] {
        differences.filter { difference in
            let key = String(decoding: difference.key, as: UTF8.self)
            if exceptions.keys[key] != nil { return false }
            if let lifetime = exceptions.relativeMilliseconds[key], case .expiry(_, let actual) = difference.kind {
                return !received.contains(actual - lifetime)
            }
            return true
        }
    }

    private static var nowMilliseconds: Int { Int(Date().timeIntervalSince1970 * 1000) }

    @Test func `are migrated by a process that ends by itself`() throws {
        let replay = try recording("types").prepareReplay()
        let redis = try RedisServer()
        let master = try SimulatorProcess(["--replay", replay.folder.path])
        let daemon = try Daemon(.migrate, .init(source: master.port, target: redis.port))
        defer {
            daemon.process.kill()
            master.stop()
            redis.stop()
        }
        try daemon.expectExit(0)
        let actual = try ServerData(reading: redis.client()).withoutCheckpoints
        #expect(try replay.expected.differences(in: actual) == [])
        #expect(master.stop() == [], "what the master saw")
    }
}
