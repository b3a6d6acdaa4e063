import ArgumentParser
import DragonflySimulator
import Foundation

extension SyntheticDataSet.Shape: ExpressibleByArgument {}
extension SyntheticDataSet.Content: ExpressibleByArgument {}
extension Compression: ExpressibleByArgument {}

/// Serves a data set until SIGTERM or SIGINT.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serves a data set; the port is the first line of stdout.")

    @Option(help: "The port; 0 takes a free one.") var port: UInt16 = 0
    @Option(help: "The number of shards, which is the number of flows.") var shards = 2
    @Option(help: "The release to be.") var version = "1.36.0"
    @Option(help: "A password that clients must give.") var password: String?
    @Option(help: "Generated keys.") var keys = 0
    @Option(help: "Bytes of a string; a collection's elements have a tenth of it.") var size = 100
    @Option(help: "Elements of a collection.") var elements = 10
    @Option(help: "Databases over which the keys are spread.") var databases = 1
    @Option(help: "The share of keys with an expiry, 0 to 1.") var expiring = 0.0
    @Option(help: "string or mixed.") var shape = SyntheticDataSet.Shape.string
    @Option(help: "random or repetitive.") var content = SyntheticDataSet.Content.random
    @Option(help: "none, lzf, zstd or lz4.") var compression = Compression.lz4
    @Option(help: "The seed of what is generated.") var seed: UInt64 = 1
    @Option(help: "A folder with a recording, instead of generated keys.") var replay: String?
    @Flag(help: "Keep a key space that executes commands, holding the generated keys at the start.") var live = false
    @Option(help: "Writes a second that the live key space makes on its own, until SIGUSR1.") var writeRate = 0
    @Option(help: "Journal records that each shard keeps for a replica that comes back.") var backlog = 8192
    @Option(help: "How what flows send is cut into writes: every:N bytes, or random:SEED:MAX.") var split: String?
    @Option(help: "How often PING and DFLY are answered with LOADING, as while a data set is loaded.") var loading = 0
    @Flag(help: "Listen on all addresses, for a network of a test's own.") var allAddresses = false
    @Flag(help: "Kept for scripts: the port is always printed.") var printPort = false

    func validate() throws {
        guard (1...1024).contains(shards) else { throw ValidationError("--shards is between 1 and 1024.") }
        guard DragonflyVersion(version) != nil else { throw ValidationError("--version is like 1.36.0.") }
        if writeRate > 0, !live { throw ValidationError("--write-rate needs --live.") }
        if replay != nil, live || keys > 0 { throw ValidationError("--replay excludes other data sets.") }
        if let split, Faults.Split(split) == nil { throw ValidationError("--split is every:N or random:SEED:MAX.") }
        guard (0...1).contains(expiring) else { throw ValidationError("--expiring is between 0 and 1.") }
    }

    func run() throws {
        // The signals are blocked before any thread starts, so that only the wait below sees them.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGUSR1)
        pthread_sigmask(SIG_BLOCK, &signals, nil)

        let master = try makeMaster()
        if let split = split.flatMap(Faults.Split.init) {
            for shard in 0..<1024 { master.setFaults(.splitting(split), on: .flow(shard)) }
        }
        let port = try master.start()
        if loading > 0 { master.refuse(Refusal.loading(times: loading)) }
        if writeRate > 0 { master.generateLoad(writesPerSecond: writeRate, seed: seed) }
        // Not buffered, because the process that started this one waits for the port.
        FileHandle.standardOutput.write(Data("\(port)\n".utf8))
        var received: Int32 = 0
        while sigwait(&signals, &received) == 0, received == SIGUSR1 {
            master.generateLoad(writesPerSecond: 0, seed: 0)
        }
        master.stop()
        let blocked = master.longestBlockedWriters
        FileHandle.standardError.write(Data("longest wait of a writer: \(blocked / .milliseconds(1)) ms\n".utf8))
        for violation in master.violations { FileHandle.standardError.write(Data("violation: \(violation)\n".utf8)) }
    }

    private func makeMaster() throws -> SimulatedMaster {
        var options = MasterOptions()
        options.port = port
        options.shardCount = shards
        options.password = password
        options.backlogRecords = backlog
        options.listensOnAllAddresses = allAddresses
        options.compression = compression
        if let version = DragonflyVersion(version) { options.version = version }
        if let replay { return try SimulatedMaster(Recording(folder: replay), options: options) }
        var dataSet = SyntheticDataSet(keys: keys, valueBytes: size, shape: shape, seed: seed)
        dataSet.elements = elements
        dataSet.databases = databases
        dataSet.expiringShare = expiring
        dataSet.content = content
        if live { return try SimulatedMaster(.live(dataSet), options: options) }
        return try SimulatedMaster(dataSet, options: options)
    }
}

extension Faults.Split {
    /// Parses `every:N` or `random:SEED:MAX`.
    fileprivate init?(_ text: String) {
        let words = text.split(separator: ":", omittingEmptySubsequences: false)
        switch words.first {
        case "every"? where words.count == 2:
            guard let count = Int(words[1]), count > 0 else { return nil }
            self = .every(count)
        case "random"? where words.count == 3:
            guard let seed = UInt64(words[1]), let limit = Int(words[2]), limit > 0 else { return nil }
            self = .random(seed: seed, upTo: limit)
        default: return nil
        }
    }
}
