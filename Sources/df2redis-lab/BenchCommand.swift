import ArgumentParser
import Lab

/// Measures df2redis and compares it with the highest throughput of the target.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures df2redis: wall time, CPU seconds, peak memory, context switches.",
        subcommands: [BenchFullCommand.self, BenchLiveCommand.self, BenchLatencyCommand.self])
}

/// Measures a full sync against `redis-cli --pipe` of the same data into an equal server, and against Dragonfly's own
/// replica.
struct BenchFullCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "full", abstract: "Full sync of strings and of mixed keys, against redis-cli --pipe.")

    @Option(help: "Strings in the first data set.") var strings = 500_000
    @Option(help: "Bytes of a string.") var size = 100
    @Option(help: "Keys in the mixed data set.") var mixed = 250_000
    @Option(help: "Shards of the master: flows.") var shards = 2
    @Option(help: "Measurements; medians are printed.") var repetitions = 3
    @Option(help: "What is written into: standalone, or cluster, of three masters.")
    var target = Destination.Kind.standalone
    @Flag(help: "TLS on both ends, with certificates made for the purpose.") var tls = false
    @Option(
        help:
            "How far away the target is: milliseconds there and back. Several, such as 0,10,50, are rows, with one for the proxy alone."
    )
    var distance = "0"
    @Flag(help: "Only df2redis, without what it is compared with: for very many keys.") var alone = false

    /// The measurements for one distance of the target.
    private struct Row {
        /// The round-trip time through a proxy, in milliseconds; `nil` without a proxy.
        let distance: Int?
        var walls: [Double] = []
        var cpus: [Double] = []
        var memories: [Double] = []
        var switches: [Double] = []
        var spreads: [Double] = []

        init(_ distance: Int?) { self.distance = distance }

        var place: String {
            switch distance {
            case nil: "straight to the target"
            case 0?: "through the proxy alone"
            case let milliseconds?: "\(milliseconds) ms away"
            }
        }
    }

    func run() throws {
        let distances = distance.split(separator: ",").compactMap { Int($0) }
        guard !distances.isEmpty, distances.allSatisfy({ $0 >= 0 }) else {
            throw ValidationError("--distance is milliseconds, such as 0,10,50")
        }
        guard (target == .standalone && !tls) || distances == [0] else {
            throw ValidationError("--distance is for a server by itself, without TLS")
        }
        let encryption = tls ? try Encryption() : nil
        for (shape, keys) in [(Shape.string, strings), (.mixed, mixed)] where keys > 0 {
            let master = try Master(
                keys: keys, size: size, shape: shape, shards: shards, isWritable: false, tls: encryption?.options)
            defer { master.stop() }
            say(
                "full sync of \(keys) \(shape.rawValue) keys of \(size) B from a \(master.description), target \(target.rawValue)\(tls ? ", TLS" : "")"
            )
            try measure(master, keys, distances, encryption)
        }
    }

    private func measure(_ master: Master, _ keys: Int, _ distances: [Int], _ encryption: Encryption?) throws {
        let folder = try TemporaryFolder("bench")
        let data = folder.file("data")
        // Distances are compared with the proxy without a delay, because the proxy itself takes CPU time.
        let proxied = distances.contains { $0 > 0 } ? [0] + distances.filter { $0 > 0 } : []
        var rows = (distances.contains(0) ? [Row(nil)] : []) + proxied.map { Row($0) }
        var (pipes, replicas): ([Double], [Double]) = ([], [])
        for repetition in 1...repetitions {
            for place in rows.indices {
                let redis = try Destination(target, tls: encryption?.options, distance: rows[place].distance)
                defer { redis.stop() }
                let sync = try FullSync(master, redis, keys, encryption)
                rows[place].walls.append(sync.wallSeconds)
                rows[place].cpus.append(sync.usage.cpuSeconds)
                rows[place].memories.append(Double(sync.usage.peakResidentBytes) / 1_048_576)
                rows[place].switches.append(Double(sync.usage.contextSwitches))
                rows[place].spreads.append(sync.flowSpreadSeconds)
                var line =
                    "  run \(repetition): df2redis \(sync.wallSeconds.fixed(2)) s, CPU \(sync.usage.cpuSeconds.fixed(2)) s, "
                    + "peak \((Double(sync.usage.peakResidentBytes) / 1_048_576).fixed(0)) MiB"
                if rows.count > 1 { line += ", \(rows[place].place)" }
                // The throughput of one server is no measure of three.
                if let server = redis.server, place == 0, !alone {
                    if repetition == 1 { try PipeFile.write(contentsOf: server, to: data) }
                    let pipe = try PipeFile.feed(data, folder, expecting: keys)
                    pipes.append(pipe)
                    line += "; redis-cli --pipe \(pipe.fixed(2)) s"
                    if DragonflyServer.isAvailable, !tls {
                        let replica = try FullSync.ownReplica(of: master.port, shards: shards, keys: keys)
                        replicas.append(replica)
                        line += "; own replica \(replica.fixed(2)) s"
                    }
                }
                say(line + "; \(sync.keyCount) keys")
            }
        }
        let near = rows.first { $0.distance == 0 }?.walls.median
        for row in rows { say(summary(row, near, of: keys)) }
        let wall = rows[0].walls.median
        if !pipes.isEmpty {
            var line = "  redis-cli --pipe \(pipes.median.fixed(2)) s, ratio \((wall / pipes.median).fixed(2))"
            if !replicas.isEmpty {
                line +=
                    "; Dragonfly's own replica \(replicas.median.fixed(2)) s, ratio "
                    + (wall / replicas.median).fixed(2)
            }
            say(line)
        }
    }

    /// - Parameter near: the median time through the proxy alone.
    private func summary(_ row: Row, _ near: Double?, of keys: Int) -> String {
        let mebibytes = Double(keys * size) / 1_048_576
        var ratio = ""
        if let near, let distance = row.distance, distance > 0 {
            ratio = ", \((row.walls.median / near).fixed(2)) of the time through the proxy alone"
        }
        return
            "  median, \(row.place): df2redis \(row.walls.median.fixed(2)) s, CPU \(row.cpus.median.fixed(2)) s, "
            + "peak \(row.memories.median.fixed(0)) MiB, \(row.switches.median.fixed(0)) context switches, "
            + "\((row.switches.median / mebibytes).fixed(0)) for a MiB of values, "
            + "\((Double(keys) / row.walls.median).fixed(0)) keys/s, the last flow \(row.spreads.median.fixed(2)) s after the first"
            + ratio
    }
}
