import ArgumentParser
import Foundation
import Lab
import Wire

/// Measures what the source's own clients notice of df2redis, and how soon the target has a write.
struct BenchLatencyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency",
        abstract: "How long SETs on the source wait while the target is fast, slow or stopped; how soon one is applied."
    )

    @Option(help: "SETs a second on the source.") var rate = 20_000
    @Option(help: "SETs that are sent together.") var pipelined = 10
    @Option(help: "Keys in the source before.") var keys = 500_000
    @Option(help: "Bytes of a value.") var size = 100
    @Option(help: "Seconds of each case, where nothing else is said.") var seconds = 15
    @Option(help: "Seconds for which the target is stopped.") var stoppedSeconds = 60
    @Option(help: "Commands a second that the slow target takes; a run of up to 128 SETs is one.") var slowRate = 60
    @Flag(help: "Print each second in which a SET waited for more than 20 ms.") var tellStalls = false
    @Option(help: "Single SETs for the time until they are applied.") var singles = 500
    @Flag(help: "Measure nothing but these single SETs.") var idleOnly = false

    func run() throws {
        let master = try Master(keys: keys, size: size, shape: .string, isWritable: true)
        defer { master.stop() }
        if !idleOnly { try busy(master) }
        try idle(master)
    }

    private func busy(_ master: Master) throws {
        say(
            "latency: \(rate) SETs/s of \(size) B, \(pipelined) at a time, over \(keys) keys of a \(master.description); "
                + "milliseconds from when they were due")
        let scene = try Scene(master, PacedLoad(port: master.port, commandsPerSecond: rate, pipelined: pipelined))
        scene.tellsStalls = tellStalls
        let pause = Duration.seconds(seconds)
        try scene.settle()
        scene.rows.append(try scene.measure("no replica", for: pause))
        try fast(scene, pause)
        try slow(scene, pause)
        try scene.load.stop()
        scene.printTable()
    }

    /// Measures the full sync, the stable sync, and a stopped target.
    private func fast(_ scene: Scene, _ pause: Duration) throws {
        let redis = try RedisServer()
        let daemon = try Daemon(.replicate, .init(source: scene.master.port, target: redis.port))
        defer {
            daemon.process.kill()
            redis.resume()
            redis.stop()
        }
        scene.rows.append(
            try scene.measure("full sync, fast target", daemon) { daemon.log.contains("stable: following") })
        try scene.settle()
        scene.rows.append(try scene.measure("fast target", daemon, for: pause))
        redis.pause()
        scene.rows.append(
            try scene.measure("target stopped (SIGSTOP)", daemon, for: .seconds(stoppedSeconds)))
        redis.resume()
        scene.rows.append(
            try scene.measure("target back, catching up", daemon) { scene.hasCaughtUp(daemon) })
        try daemon.leave()
    }

    /// Measures the full sync and the stable sync with a target that takes few commands.
    private func slow(_ scene: Scene, _ pause: Duration) throws {
        let redis = try RedisServer()
        let proxy = try TCPProxy(to: redis.port, commandsPerSecond: slowRate)
        let daemon = try Daemon(.replicate, .init(source: scene.master.port, target: proxy.port))
        defer {
            daemon.process.kill()
            proxy.stop()
            redis.stop()
        }
        try daemon.wait(forLine: "full sync begins")
        scene.rows.append(try scene.measure("full sync, \(slowRate) commands/s", daemon, for: pause))
        proxy.commandsPerSecond = nil
        try daemon.wait(forLine: "stable: following")
        try scene.waitUntilCaughtUp(daemon)
        proxy.commandsPerSecond = slowRate
        scene.rows.append(try scene.measure("target takes \(slowRate) commands/s", daemon, for: pause))
    }

    private func idle(_ master: Master) throws {
        let redis = try RedisServer()
        let latency = try IdleLatency(source: master.port)
        let daemon = try Daemon(.replicate, .init(source: latency.port, target: redis.port))
        defer {
            daemon.process.kill()
            latency.stop()
            redis.stop()
        }
        try daemon.wait(forLine: "stable: following")
        let waits = try latency.measure(singles, target: redis)
        say("\(singles) single SETs on an idle \(master.description); milliseconds")
        say("| from | to | median | p99 | max |")
        say("|---|---|---|---|---|")
        for (from, to, part) in [
            ("the SET's reply", "its record leaves the source", waits.atSource),
            ("its record leaves the source", "the target has executed it", waits.afterSource),
            ("the SET's reply", "the target has executed it", waits.total),
        ] {
            say(
                "| \(from) | \(to) | \(part.median.fixed(2)) | \(part.percentile(0.99).fixed(2)) | "
                    + "\((part.max() ?? 0).fixed(2)) |")
        }
        try daemon.leave()
    }
}

/// The load that continues through all cases, and the measurements.
private final class Scene {
    struct Row {
        var name: String
        var waits: PacedLoad.Waits
        var queuedBytes: Int
    }

    let master: Master
    let load: PacedLoad
    var rows: [Row] = []
    var tellsStalls = false

    init(_ master: Master, _ load: PacedLoad) { (self.master, self.load) = (master, load) }

    /// Drops the waits that the change to the next case has caused.
    func settle() throws {
        blockThread(for: .seconds(1))
        _ = load.takeWaits()
    }

    func measure(_ name: String, _ daemon: Daemon? = nil, for pause: Duration) throws -> Row {
        let end = ContinuousClock.now + pause
        return try measure(name, daemon) { ContinuousClock.now >= end }
    }

    /// Measures until `isOver` holds.
    func measure(_ name: String, _ daemon: Daemon? = nil, _ isOver: () throws -> Bool) throws -> Row {
        let start = ContinuousClock.now
        _ = load.takeWaits()
        var waits: PacedLoad.Waits?
        var nextLook = start + .seconds(1)
        while true {
            if let daemon, !daemon.process.isRunning {
                throw LabError("df2redis ended:\n\(daemon.process.outputTail(lines: 30))")
            }
            let isLast = try isOver()
            if isLast || ContinuousClock.now >= nextLook {
                let next = load.takeWaits()
                if tellsStalls, next.longest > 20 {
                    say(
                        "  \(name): \(next.longest.fixed(0)) ms, \(start.duration(to: .now).seconds.fixed(1)) s after its "
                            + "beginning")
                }
                if waits == nil { waits = next } else { waits?.append(next) }
                nextLook += .seconds(1)
            }
            if isLast, let waits {
                return Row(name: name, waits: waits, queuedBytes: daemon?.status?["queuedBytes"] as? Int ?? 0)
            }
            blockThread(for: .milliseconds(20))
        }
    }

    func hasCaughtUp(_ daemon: Daemon) -> Bool {
        guard let status = daemon.status, status["phase"] as? String == "stable" else { return false }
        return (status["queuedBytes"] as? Int ?? .max) < 1 << 20
    }

    func waitUntilCaughtUp(_ daemon: Daemon) throws {
        try wait(until: "the target has caught up", timeout: .seconds(300), every: .milliseconds(50)) {
            hasCaughtUp(daemon)
        }
    }

    func printTable() {
        let reference = rows.first { $0.name == "fast target" }?.waits
        say("| case | SETs/s | p50 | p99 | max | p99, max against the fast target | waiting in df2redis |")
        say("|---|---|---|---|---|---|---|")
        for row in rows {
            let rate = Double(row.waits.count * load.pipelined) / row.waits.seconds
            let ratios =
                reference.map {
                    let p99 = row.waits.percentile(0.99) / max($0.percentile(0.99), 0.001)
                    return "\(p99.fixed(2)), \((row.waits.longest / max($0.longest, 0.001)).fixed(2))"
                } ?? ""
            say(
                "| \(row.name) | \(rate.fixed(0)) | \(row.waits.percentile(0.5).fixed(2)) | "
                    + "\(row.waits.percentile(0.99).fixed(2)) | \(row.waits.longest.fixed(1)) | \(ratios) | "
                    + "\(row.queuedBytes >> 20) MiB |")
        }
    }
}
