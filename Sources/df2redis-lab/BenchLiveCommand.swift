import ArgumentParser
import Foundation
import Lab
import Wire

/// Measures the stable sync: SETs are written to the source as fast as it takes them, until the target has the last one.
struct BenchLiveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "live", abstract: "SETs as fast as the source takes them, until the target has the last one.")

    @Option(help: "SETs a round.") var writes = 200_000
    @Option(help: "Bytes of a value.") var size = 100
    @Option(help: "Seconds until a key expires; 0: never.") var expiry = 0
    @Option(help: "Rounds; the median is printed.") var rounds = 3

    @Option(help: "What is written into: standalone, or cluster, of three masters.")
    var target = Destination.Kind.standalone

    @Flag(help: "TLS on both ends, with certificates made for the purpose.") var tls = false
    @Option(help: "How far away a server by itself is: milliseconds there and back.") var distance = 0

    func run() throws {
        guard (target == .standalone && !tls) || distance == 0 else {
            throw ValidationError("--distance is for a server by itself, without TLS")
        }
        let encryption = tls ? try Encryption() : nil
        let master = try Master(
            keys: 0, size: size, shape: .string, isWritable: true, tls: encryption?.options)
        let redis = try Destination(target, tls: encryption?.options, distance: distance > 0 ? distance : nil)
        let daemon = try Daemon(
            .replicate, redis.configuration(source: master.replicaPort, sections: encryption?.sections ?? [:]))
        defer {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }
        say(
            "live: \(rounds) rounds of \(writes) SETs of \(size) B"
                + "\(expiry > 0 ? " with EX \(expiry)" : "") to a \(master.description), into \(try redis.describe())"
                + (distance > 0 ? ", \(distance) ms away" : "") + (tls ? ", TLS" : ""))
        try daemon.wait(forLine: "stable")
        let source = try RESPClient(port: master.port)

        let before = daemon.process.usage.cpuSeconds
        var rates: [Double] = []
        for round in 1...rounds {
            let start = ContinuousClock.now
            try benchmark(master.port)
            let written = (ContinuousClock.now - start).seconds
            try source.command("SET", "mark:\(round)", "x")
            // Flows are independent of each other: the mark does not show that the writes of the other flows have arrived.
            try wait(until: "round \(round) is in the target", timeout: .seconds(300), every: .milliseconds(2)) {
                guard try redis.exists("mark:\(round)") else { return false }
                return try Self.keyCount(source) <= redis.keyCount()
            }
            let applied = (ContinuousClock.now - start).seconds
            rates.append(Double(writes) / applied)
            say(
                "  round \(round): written in \(written.fixed(2)) s, applied in \(applied.fixed(2)) s, "
                    + "\(rates[round - 1].fixed(0))/s")
        }
        let usage = daemon.process.usage
        let limit = try ownLimit()
        let replica = DragonflyServer.isAvailable && !tls ? try ownReplicaRate() : nil
        let comparison = try redis.compare(with: source)
        try daemon.leave()
        let switches = Double(daemon.process.usage.contextSwitches)
        say(
            "  median: \(rates.median.fixed(0))/s; redis-server alone takes \(limit.fixed(0))/s; "
                + (replica.map { "with its own replica \($0.fixed(0))/s, ratio \((rates.median / $0).fixed(2)); " }
                    ?? "")
                + "CPU "
                + "\((usage.cpuSeconds - before).fixed(2)) s, peak \(usage.peakResidentBytes >> 20) MiB, "
                + "\((switches / (Double(writes * rounds * size) / 1_048_576)).fixed(0)) context switches for a MiB")
        guard comparison.isEqual else { throw LabError(Difference.report(comparison.differences)) }
    }

    /// The number of keys in database 0. (In the target, df2redis's own keys are counted, too.)
    private static func keyCount(_ client: RESPClient) throws -> Int { Int(try client.command("DBSIZE").int ?? 0) }

    /// Measures the same with Dragonfly's own replica instead of df2redis, in SETs a second.
    private func ownReplicaRate() throws -> Double {
        let master = try Master(keys: 0, size: size, shape: .string, isWritable: true)
        let replica = try DragonflyServer(shards: 2)
        defer {
            replica.stop()
            master.stop()
        }
        let (source, client) = (try RESPClient(port: master.port), try replica.client(timeout: .seconds(120)))
        try client.command("REPLICAOF", "127.0.0.1", "\(master.port)")
        try wait(until: "Dragonfly's own replica follows", timeout: .seconds(60), every: .milliseconds(20)) {
            try source.info("replication", "slave0")?.contains("state=online") == true
        }
        var rates: [Double] = []
        for _ in 1...rounds {
            let start = ContinuousClock.now
            try benchmark(master.port)
            try wait(until: "Dragonfly's own replica has the keys", timeout: .seconds(300), every: .milliseconds(2)) {
                try Self.keyCount(source) <= Self.keyCount(client)
            }
            rates.append(Double(writes) / (ContinuousClock.now - start).seconds)
        }
        return rates.median
    }

    /// Measures the same writes into a server without df2redis, in SETs a second.
    private func ownLimit() throws -> Double {
        let redis = try RedisServer()
        defer { redis.stop() }
        let start = ContinuousClock.now
        try benchmark(redis.port)
        return Double(writes) / (ContinuousClock.now - start).seconds
    }

    private func benchmark(_ port: UInt16) throws {
        let folder = try TemporaryFolder("benchmark")
        let process = try ChildProcess(
            "redis-benchmark",
            [
                "-p", "\(port)", "-n", "\(writes)", "-r", "\(writes)", "-d", "\(size)", "-P", "32", "-c", "8", "-q",
                "--threads", "1",
            ]
                + (expiry > 0
                    ? ["SET", "key:__rand_int__", String(repeating: "x", count: size), "EX", "\(expiry)"]
                    : ["-t", "set"]),
            output: folder.file("output"))
        guard try process.waitForEnd(timeout: .seconds(300)) == .exited(0) else {
            throw LabError("redis-benchmark:\n\(process.outputTail())")
        }
    }
}
