import Foundation
import Lab
import Wire

/// One full sync into an empty server, measured from the start of the program until the last key is there.
struct FullSync {
    let wallSeconds: Double
    let usage: ChildProcess.Usage
    let keyCount: Int
    /// The time between the end of the first flow's snapshot and the end of the last one's, according to the log.
    let flowSpreadSeconds: Double

    init(_ master: Master, _ redis: Destination, _ expectedCount: Int, _ encryption: Encryption?) throws {
        let daemon = try Daemon(
            .migrate, redis.configuration(source: master.replicaPort, sections: encryption?.sections ?? [:]))
        defer { daemon.process.kill() }
        // Keys are counted in the target itself. Leaving waits for the master and is not measured.
        var arrival: ContinuousClock.Instant?
        while daemon.process.isRunning {
            if arrival == nil, try redis.keyCount() >= expectedCount {
                arrival = .now
                daemon.process.samplePeak()
            }
            blockThread(for: .milliseconds(2))
        }
        try daemon.expectExit(0)
        keyCount = try redis.keyCount()
        guard let arrival else { throw LabError("\(keyCount) of \(expectedCount) keys arrived") }
        wallSeconds = (arrival - daemon.process.started).seconds
        usage = daemon.process.usage
        let ends = Self.times(of: "snapshot applied", in: daemon.log)
        flowSpreadSeconds = (ends.max() ?? 0) - (ends.min() ?? 0)
    }

    /// When lines with `text` were logged, in Unix seconds.
    private static func times(of text: String, in log: String) -> [Double] {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        return log.split(separator: "\n").filter { $0.contains(text) }.compactMap { line in
            formatter.date(from: String(line.prefix { $0 != " " }))?.timeIntervalSince1970
        }
    }

    /// Measures the seconds that Dragonfly's own replica needs for the same, from its REPLICAOF until the last key is there.
    static func ownReplica(of port: UInt16, shards: Int, keys: Int) throws -> Double {
        let replica = try DragonflyServer(shards: shards)
        defer { replica.stop() }
        let client = try replica.client(timeout: .seconds(120))
        let start = ContinuousClock.now
        try client.command("REPLICAOF", "127.0.0.1", "\(port)")
        try wait(until: "Dragonfly's own replica has the keys", timeout: .seconds(300), every: .milliseconds(2)) {
            // It answers with an error while it loads.
            ((try? client.command("DBSIZE").int).flatMap { $0 } ?? 0) >= keys
        }
        return (ContinuousClock.now - start).seconds
    }
}
