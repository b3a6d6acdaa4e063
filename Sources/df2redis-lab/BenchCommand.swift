import ArgumentParser
import Lab
import Wire

/// Measures df2redis against what the target can take at most.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures df2redis: wall time, CPU seconds, peak memory.",
        subcommands: [BenchFullCommand.self, BenchLiveCommand.self, BenchLatencyCommand.self])
}

/// Full sync against `redis-cli --pipe` of the same data into the same server.
struct BenchFullCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "full", abstract: "Full sync of strings and of mixed keys, against redis-cli --pipe.")

    @Option(help: "Strings in the first data set.") var strings = 500_000
    @Option(help: "Bytes of a string.") var size = 100
    @Option(help: "Keys in the mixed data set.") var mixed = 250_000
    @Option(help: "Measurements; medians are printed.") var repetitions = 3
    @Option(help: "What is written into: standalone, or cluster, of three masters.")
    var target = Destination.Kind.standalone
    @Flag(help: "TLS on both ends, with certificates made for the purpose.") var tls = false

    func run() throws {
        let encryption = tls ? try Encryption() : nil
        for (shape, keys) in [(Shape.string, strings), (.mixed, mixed)] where keys > 0 {
            let master = try Master(
                keys: keys, size: size, shape: shape, isWritable: false, tls: encryption?.options)
            defer { master.stop() }
            say(
                "full sync of \(keys) \(shape.rawValue) keys of \(size) B from a \(master.description), target \(target.rawValue)\(tls ? ", TLS" : "")"
            )
            try measure(master, keys, encryption)
        }
    }

    private func measure(_ master: Master, _ keys: Int, _ encryption: Encryption?) throws {
        let folder = try TemporaryFolder("bench")
        let data = folder.file("data")
        var (walls, cpus, memories, pipes): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
        for repetition in 1...repetitions {
            let redis = try Destination(target, tls: encryption?.options)
            defer { redis.stop() }
            let sync = try FullSync(master, redis, keys, encryption)
            walls.append(sync.wallSeconds)
            cpus.append(sync.usage.cpuSeconds)
            memories.append(Double(sync.usage.peakResidentBytes) / 1_048_576)
            var line =
                "  run \(repetition): df2redis \(sync.wallSeconds.fixed(2)) s, CPU \(sync.usage.cpuSeconds.fixed(2)) s, "
                + "peak \(memories[repetition - 1].fixed(0)) MiB"
            // What one server can take is no measure of three.
            if let server = redis.server {
                if repetition == 1 { try PipeFile.write(contentsOf: server, to: data) }
                let pipe = try PipeFile.feed(data, folder, expecting: keys)
                pipes.append(pipe)
                line += "; redis-cli --pipe \(pipe.fixed(2)) s"
            }
            say(line + "; \(sync.keyCount) keys")
        }
        var line =
            "  median: df2redis \(walls.median.fixed(2)) s, CPU \(cpus.median.fixed(2)) s, peak "
            + "\(memories.median.fixed(0)) MiB"
        if !pipes.isEmpty {
            line +=
                "; redis-cli --pipe \(pipes.median.fixed(2)) s; ratio " + (walls.median / pipes.median).fixed(2)
        }
        say(line)
    }
}

/// One full sync into an empty server, measured from the start of the daemon until the last key is there.
private struct FullSync {
    let wallSeconds: Double
    let usage: ChildProcess.Usage
    let keyCount: Int

    init(_ master: Master, _ redis: Destination, _ expectedCount: Int, _ encryption: Encryption?) throws {
        let daemon = try Daemon(
            .migrate, redis.configuration(source: master.replicaPort, sections: encryption?.sections ?? [:]))
        defer { daemon.process.kill() }
        // Keys are counted in the target itself. Leaving waits for the master and is no part of the measure.
        var arrival: ContinuousClock.Instant?
        while daemon.process.isRunning {
            if arrival == nil, try redis.keyCount() >= expectedCount { arrival = .now }
            nap(.milliseconds(2))
        }
        try daemon.expectExit(0)
        keyCount = try redis.keyCount()
        guard let arrival else { throw LabError("\(keyCount) of \(expectedCount) keys arrived") }
        wallSeconds = (arrival - daemon.process.started).seconds
        usage = daemon.process.usage
    }
}
