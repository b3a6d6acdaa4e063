import Foundation
import Lab
import Testing

/// Every recording goes through the real daemon into a real server, and must come out as what the master held.
@Suite(.serialized, .enabled(if: daemonIsBuilt, "the daemon is not built yet"))
struct `Recordings replayed into a real server` {
    /// What a recording's stream does not tell, so that no replica can have it right; the protocol's section 5.6 gives
    /// the rows. The daemon must name these keys.
    private struct Exceptions {
        /// Keys whose value cannot be told from the stream, in each database of the live commands.
        var keys: Set<String> = []
        /// Keys with a lifetime counted from when the record is received: row 12.
        var relativeMilliseconds: [String: Int] = [:]
    }

    private static func exceptions(_ name: String) -> Exceptions {
        // Row 10: XREADGROUP is not in the journal before v1.37. Row 6: STORE over two shards comes as fragments.
        let restored = ["restored2": 100_000_000]
        return switch name {
        case "one-shard": Exceptions(keys: ["x"], relativeMilliseconds: restored)
        case "live-ops": Exceptions(keys: ["x", "lsort"], relativeMilliseconds: restored)
        case "four-shards": Exceptions(keys: ["x", "lsort", "geod"], relativeMilliseconds: restored)
        case "v1.40.1/live-ops": Exceptions(relativeMilliseconds: restored)
        case "foreign", "v1.40.1/foreign": Exceptions(keys: ["json:doc", "bf", "setex", "hashex"])
        default: Exceptions()
        }
    }

    private static let names = (try? RecordedRun.all(in: recordingsFolder).map(\.name)) ?? []

    @Test(arguments: names) func `the target holds what the master held, before the leave and after it`(
        _ name: String
    ) throws {
        let replay = try recording(name).prepareReplay()
        let redis = try RedisServer()
        let master = try SimulatorProcess(["--replay", replay.folder.path])
        let begin = Self.nowMilliseconds
        let daemon = try Daemon(
            .replicate,
            .init(source: master.port, target: redis.port, sections: ["policy": ["onUnsupported: skip"]]))
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
        for key in exceptions.keys { #expect(daemon.report.contains(key), "\(key) is not named") }

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
            if exceptions.keys.contains(key) { return false }
            if let lifetime = exceptions.relativeMilliseconds[key], case .expiry(_, let actual) = difference.kind {
                return !received.contains(actual - lifetime)
            }
            return true
        }
    }

    private static var nowMilliseconds: Int { Int(Date().timeIntervalSince1970 * 1000) }

    @Test func `migrate ends by itself with the data in the target`() throws {
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
