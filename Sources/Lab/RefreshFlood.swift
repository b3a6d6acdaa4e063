import Foundation
import Wire

/// A task that must read very many keys at its source, all at once, and is killed in the middle.
///
/// The requests are put into the queue's file in the state directory, as an earlier process would have left them. Half
/// of the keys differ at the target.
package final class RefreshFlood {
    package struct Report: Sendable {
        package var refreshed = 0
        package var seconds = 0.0
        package var peakResidentBytes = 0
        package var fullSyncs = 0
        package var differences = 0
    }

    private static let batch = 5000
    private static let shards = 4
    private let keys: Int
    private let master: DragonflyServer
    private let redis: RedisServer
    private let folder: TemporaryFolder
    private let configuration: Daemon.Configuration

    package init(keys: Int) throws {
        self.keys = keys
        master = try DragonflyServer(shards: Self.shards)
        redis = try RedisServer()
        folder = try TemporaryFolder("flood")
        configuration = Daemon.Configuration(
            source: master.port, target: redis.port,
            sections: ["shutdown": ["drainSeconds: 0"], "refresh": ["keysPerSecond: 100000"]])
    }

    /// - Throws: `LabError`.
    package func run() throws -> Report {
        defer {
            redis.stop()
            master.stop()
        }
        try fill(master.client(), "right")
        var daemon = try Daemon(.replicate, configuration, folder: folder)
        defer { daemon.process.kill() }
        try daemon.wait(forLine: "stable: following", timeout: .seconds(600))
        try daemon.leave()
        try fill(redis.client(), "wrong", every: 2)
        try writeQueueFile()

        var report = Report()
        let start = ContinuousClock.now
        daemon = try Daemon(.replicate, configuration, folder: folder)
        try wait(for: daemon, "a third is done", &report) { $0.refreshed >= self.keys / 3 }
        let first = figures(of: daemon).refreshed
        daemon.process.kill()
        daemon = try Daemon(.replicate, configuration, folder: folder)
        try wait(for: daemon, "all is done", &report) { $0.waiting == 0 && $0.refreshed > 0 }
        report.seconds = start.duration(to: .now).secondsValue
        report.refreshed = first + figures(of: daemon).refreshed
        report.fullSyncs = daemon.status?["fullSyncs"] as? Int ?? 0
        try daemon.leave()
        report.differences = try ServerComparison(source: master.client(), target: redis.client()).differenceCount
        return report
    }

    private func wait(
        for daemon: Daemon, _ what: String, _ report: inout Report,
        _ isDone: ((refreshed: Int, waiting: Int)) -> Bool
    ) throws {
        let deadline = ContinuousClock.now + .seconds(3600)
        while !isDone(figures(of: daemon)) {
            guard daemon.process.isRunning, ContinuousClock.now < deadline else {
                throw LabError("\(what): \(figures(of: daemon))\n\(daemon.process.outputTail(lines: 30))")
            }
            report.peakResidentBytes = max(report.peakResidentBytes, daemon.process.usage.peakResidentBytes)
            blockThread(for: .milliseconds(100))
        }
    }

    private func figures(of daemon: Daemon) -> (refreshed: Int, waiting: Int) {
        let figures = daemon.status?["refreshes"] as? [String: Any]
        return (figures?["refreshed"] as? Int ?? 0, figures?["waiting"] as? Int ?? keys)
    }

    private static func key(_ number: Int) -> [UInt8] { Array("key:\(number)".utf8) }

    private func fill(_ client: RESPClient, _ value: String, every step: Int = 1) throws {
        for start in stride(from: 0, to: keys, by: Self.batch * step) {
            let numbers = stride(from: start, to: min(start + Self.batch * step, keys), by: step)
            _ = try client.pipeline(
                numbers.map { [Array("SET".utf8), Self.key($0), Array("\(value) value of \($0)".utf8)] })
        }
    }

    /// Writes the queue's file, in the format of `RefreshFile`.
    private func writeQueueFile() throws {
        var bytes = ByteBuffer(capacity: keys * 32)
        for byte in "df2rfsh1".utf8 { bytes.append(byte) }
        bytes.append(littleEndian: 16 as UInt64)
        for number in 0..<keys {
            let key = Self.key(number)
            var head = ByteBuffer(capacity: 12)
            head.append(littleEndian: UInt32(key.count))
            head.append(littleEndian: 0 as UInt32)
            head.append(littleEndian: UInt16(XXH64.hash(key.span.bytes, seed: 120_577_240_643) % UInt64(Self.shards)))
            head.append(0 as UInt8)
            head.append(0 as UInt8)
            let check = XXH64.hash(key.span.bytes, seed: XXH64.hash(head.bytes, seed: 0))
            bytes.append(head.bytes)
            bytes.append(littleEndian: UInt32(truncatingIfNeeded: check))
            bytes.append(key.span.bytes)
        }
        let path = folder.file("state/\(Daemon.taskName).refresh")
        try bytes.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: path))
    }
}

extension Duration {
    fileprivate var secondsValue: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}
