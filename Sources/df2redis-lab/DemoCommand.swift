import ArgumentParser
import Foundation
import Lab

/// Runs df2redis between a master and a real redis-server or cluster under live writes, and compares both sides at the end.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Syncs a master into a real redis-server under live writes, leaves, compares.")

    @Option(help: "Keys that the master holds at the start.") var keys = 200_000
    @Option(help: "Bytes of a string value.") var size = 100
    @Option(help: "Kinds of keys: string or mixed.") var shape = Shape.mixed
    @Option(help: "Shards of the master, and so flows.") var shards = 2
    @Option(help: "Seconds of live writes once the stream is stable.") var seconds = 5
    @Flag(help: "TLS on both ends, with certificates made for the purpose.") var tls = false

    @Option(help: "What is written into: standalone, or cluster, of three masters with a replica each.")
    var target = Destination.Kind.standalone

    func run() throws {
        let encryption = tls ? try Encryption() : nil
        let master = try Master(
            keys: keys, size: size, shape: shape, shards: shards, isWritable: true, tls: encryption?.options)
        let redis = try Destination(target, replicas: 1, tls: encryption?.options)
        say("source: \(master.description), port \(master.port), \(keys) keys")
        say("target: \(try redis.describe()), port \(redis.port), empty")

        let writer = try RandomWriter(port: master.port, databases: redis.databases, keys: 500, seed: 1)
        let daemon = try Daemon(
            .replicate, redis.configuration(source: master.replicaPort, sections: encryption?.sections ?? [:]))
        defer {
            daemon.process.kill()
            redis.stop()
            master.stop()
        }
        if tls { say("TLS: on port \(master.replicaPort) for the source, on \(redis.tlsPort ?? 0) for the target") }
        say("df2redis: pid \(daemon.process.pid), task \(Daemon.taskName); random writes to the source go on meanwhile")
        let progress = try DemoProgress(daemon, redis)

        try progress.show(until: "the stream is stable", timeout: .seconds(120)) { daemon.log.contains("stable") }
        let stableAfter = daemon.process.wallTime
        let end = ContinuousClock.now + .seconds(seconds)
        try progress.show(until: "the live writes are over") { ContinuousClock.now >= end }
        try writer.stop()

        let source = try RESPClient(port: master.port)
        say("writes ended; waiting for the target to have the last one")
        var latest: ServerComparison?
        do {
            try progress.show(until: "source and target are equal") {
                let comparison = try redis.compare(with: source)
                latest = comparison
                return comparison.isEqual
            }
        } catch {
            if let latest { say(Difference.report(latest.differences)) }
            throw error
        }

        say("SIGTERM: df2redis leaves FIN first")
        let leaveStart = ContinuousClock.now
        daemon.process.signal(SIGTERM)
        try progress.show(until: "df2redis has left", timeout: .seconds(30)) { !daemon.process.isRunning }
        try daemon.expectExit(0)
        let leaveSeconds = (ContinuousClock.now - leaveStart).seconds

        let comparison = try redis.compare(with: source)
        let violations = master.stop()
        let usage = daemon.process.usage
        say("")
        say("stable after    \(stableAfter.seconds.fixed(2)) s")
        say("live commands   \(writer.commandCount)")
        say("left in         \(leaveSeconds.fixed(2)) s, exit code 0")
        say("CPU, memory     \(usage.cpuSeconds.fixed(2)) s, \(usage.peakResidentBytes >> 20) MiB at most")
        say("keys compared   \(comparison.keyCount), of which \(comparison.differenceCount) differ")
        let own = comparison.ownKeys.map { String(decoding: $0, as: UTF8.self) }.sorted()
        say("keys of its own \(own.joined(separator: ", "))")
        guard comparison.isEqual, violations.isEmpty else {
            if !comparison.isEqual { say(Difference.report(comparison.differences)) }
            for violation in violations { say("seen by the master: \(violation)") }
            say("the demo failed")
            throw ExitCode(1)
        }
        say("source and target are equal")
    }
}
