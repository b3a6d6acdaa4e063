import DragonflySimulator
import Foundation
import Lab
import Testing
import Wire

/// What the daemon says of its lag while a target is stopped.
@Suite(.serialized)
struct `The lag that the daemon reports` {
    private func figure(_ daemon: Daemon, _ key: String) -> Double? { daemon.status?[key] as? Double }
    private func positions(_ daemon: Daemon, _ key: String) -> [Int] {
        (daemon.status?["flows"] as? [[String: Any]] ?? []).compactMap { $0[key] as? Int }
    }

    @Test func `grows while the target is paused, is logged as high once, and returns to zero`() throws {
        var options = MasterOptions()
        options.shardCount = 2
        let master = try SimulatedMaster(.live(SyntheticDataSet(keys: 100, valueBytes: 50)), options: options)
        let port = try master.start()
        let redis = try RedisServer()
        defer {
            redis.resume()
            redis.stop()
            master.stop()
        }
        let daemon = try Daemon(
            .replicate,
            .init(
                source: port, target: redis.port,
                sections: ["log": ["lagHighSeconds: 2"], "target": ["silentSeconds: 3"]]))
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following")
        master.generateLoad(writesPerSecond: 2000, seed: 7)
        try wait(until: "both flows are acknowledged") { positions(daemon, "acknowledgedLSN").count == 2 }

        redis.pause()
        try daemon.wait(forLine: "event=lagHigh")
        try daemon.wait(forLine: "has been silent for 3 s")
        try wait(until: "it is 5 s") { (figure(daemon, "lagSeconds") ?? 0) >= 5 }
        let (decoded, applied) = (positions(daemon, "decodedLSN"), positions(daemon, "appliedLSN"))
        #expect(zip(decoded, applied).allSatisfy { $0 > $1 }, "\(decoded) \(applied)")
        try wait(until: "what was applied is acknowledged") {
            positions(daemon, "acknowledgedLSN") == positions(daemon, "appliedLSN")
        }
        let lag = try #require(figure(daemon, "lagBytes"))
        let received = try #require(figure(daemon, "receivedBytes")),
            done = try #require(figure(daemon, "appliedBytes"))
        #expect(lag > 0 && received > done)
        #expect(try #require(figure(daemon, "lagRecords")) > 5000)
        #expect(daemon.status?["targetLost"] as? Bool == true)

        redis.resume()
        try daemon.wait(forLine: "event=lagNormal")
        try daemon.wait(forLine: "the target is back")
        master.generateLoad(writesPerSecond: 0, seed: 0)
        try wait(until: "nothing lags") {
            figure(daemon, "lagSeconds") == 0 && figure(daemon, "lagBytes") == 0 && figure(daemon, "lagRecords") == 0
        }
        try wait(until: "the target counts as found") { daemon.status?["targetLost"] as? Bool == false }
        #expect(positions(daemon, "decodedLSN") == positions(daemon, "appliedLSN"))
        try wait(until: "all is acknowledged") {
            positions(daemon, "acknowledgedLSN") == positions(daemon, "appliedLSN")
        }
        try daemon.leave()
        for event in ["event=lagHigh", "event=lagNormal", "event=targetLost", "the target is back"] {
            #expect(daemon.log.split(separator: "\n").count { $0.contains(event) } == 1, "\(event)")
        }
        #expect(master.violations == [])
    }
}
