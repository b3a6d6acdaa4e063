import Base
import Foundation
import Wire

/// df2redis between a master under load of commands that are not idempotent and a real server with an append-only file,
/// with faults in random order; both sides must be equal at the end, without a full sync that was not needed.
package final class Torture {
    /// What goes wrong.
    package enum Fault: String, CaseIterable, Sendable {
        case daemonKilled, daemonLeft, daemonStopped, daemonKilledOverStoppedTarget
        case targetKilled, targetStopped, targetCut, targetReadOnly, targetFull, targetBusy, targetLoading
        case spoolFilled, diskFilled
        case sourceFlowsCut, sourceFlowCut, sourceMainCut
    }

    package struct Options: Sendable {
        package var faults = 100
        package var seed: UInt64 = .random(in: 0 ... .max)
        package var shards = 2
        package var commandsPerSecond = 1500
        /// No new fault after this time, once each kind has had its turn.
        package var limit: Duration?
        /// Faults between two comparisons.
        package var faultsPerRound = 10
        package var kinds = Fault.allCases
        /// Bytes of a file system made for the spool, smaller than `spool.diskBytes`; `nil`: an ordinary folder, and
        /// `diskFilled` spends the budget instead. Needs the right to mount.
        package var spoolFileSystemBytes: Int?

        package init() {}
    }

    package struct Report: Sendable {
        package var faults: [Fault: Int] = [:]
        package var commands = 0
        package var comparedKeys = 0
        package var rounds = 0
        /// Full syncs, the first one left out.
        package var fullSyncs = 0
        /// Why they were made, in the daemon's words.
        package var fullSyncReasons: [String] = []
        /// Ends of the daemon that nobody asked for, which a service manager would have met with a restart.
        package var restarts: [String] = []
        package var continued = 0
        /// How long writers on the source waited: the longest.
        package var waits: [Wait] = []
        package var peakResidentBytes = 0

        /// How often the spool had no room left, and for want of what.
        package var overflows: [String: Int] = [:]

        package var faultCount: Int { faults.values.reduce(0, +) }

        /// What the simulated master saw, without what the kernel does in the place of a killed daemon.
        package func violations(_ seen: [String]) -> [String] {
            let kills = (faults[.daemonKilled] ?? 0) + (faults[.daemonKilledOverStoppedTarget] ?? 0)
            return kills > 0 ? seen.filter { !$0.hasPrefix("RST ") } : seen
        }
    }

    package let options: Options
    package private(set) var report = Report()
    private let say: (String) -> Void
    private let source: TortureSource
    private let target: RedisServer
    private let folder: TemporaryFolder
    private var daemon: Daemon
    private let configuration: Daemon.Configuration
    private var random: SplitMix64
    private var happenings: [Happening] = []
    private let processorWaits: ProcessorWaits
    /// Kinds that have not had their turn: each comes once before any comes again.
    private var deck: [Fault] = []
    private var fileSystem: SmallFileSystem?

    package init(_ options: Options, source: TortureSource, say: @escaping (String) -> Void) throws {
        self.options = options
        self.source = source
        self.say = say
        processorWaits = ProcessorWaits(pid: source.pid)
        random = SplitMix64(seed: options.seed)
        target = try RedisServer([
            "--appendonly", "yes", "--appendfsync", "always", "--busy-reply-threshold", "100",
            "--maxmemory-policy", "noeviction", "--enable-debug-command", "local",
        ])
        folder = try TemporaryFolder("torture")
        if let bytes = options.spoolFileSystemBytes {
            fileSystem = try SmallFileSystem(at: folder.file("state/\(Daemon.taskName).spool"), bytes: bytes)
        }
        configuration = Daemon.Configuration(
            source: source.port, target: target.port,
            sections: [
                "spool": ["memoryBytes: 1048576", "diskBytes: 16777216"],
                "reconnect": ["initialMilliseconds: 50", "maxSeconds: 1"],
                "shutdown": ["drainSeconds: 0.2"],
            ])
        daemon = try Daemon(.replicate, configuration, folder: folder)
    }

    /// The daemon's log so far, for who wants to know what went wrong.
    package var log: String { daemon.log }
    package var logTail: String { daemon.process.outputTail(lines: 60) }

    /// - Throws: `LabError` when the sides are not equal, or something does not come back.
    package func run() throws {
        defer {
            processorWaits.stop()
            daemon.process.signal(SIGCONT)
            daemon.process.kill()
            target.resume()
            target.stop()
        }
        try daemon.wait(forLine: "stable: following")
        let start = ContinuousClock.now
        var left = options.faults
        while left > 0, options.limit.map({ start.duration(to: .now) < $0 }) ?? true || isWanting {
            let count = min(left, options.faultsPerRound)
            left -= count
            try round(count)
        }
        noteMemory()
        try daemon.leave()
        let reasons = daemon.log.split(separator: "\n").compactMap { line in
            line.range(of: "a full sync is needed: ").map { String(line[$0.upperBound...]) }
        }
        report.fullSyncReasons = reasons
        report.fullSyncs = daemon.log.components(separatedBy: "full sync begins").count - 2
        for line in daemon.log.split(separator: "\n") where line.contains("there is no room left") {
            guard line.contains("another attempt in") else { continue }
            let cause =
                line.contains("spool.diskBytes is spent")
                ? "the budget is spent" : line.contains("the disk is slow") ? "the disk is slow" : "the disk is full"
            report.overflows[cause, default: 0] += 1
        }
        report.continued = daemon.log.components(separatedBy: "resuming at the checkpoint").count - 1
    }

    private func round(_ count: Int) throws {
        let load = try TortureLoad(
            port: source.port, commandsPerSecond: options.commandsPerSecond, seed: random.next())
        for _ in 0..<count {
            let fault = nextFault()
            report.faults[fault, default: 0] += 1
            noteMemory()
            say("\(report.faultCount): \(fault.rawValue)")
            let start = ContinuousClock.now
            try inject(fault)
            happenings.append(Happening(fault: fault, start: start, end: .now))
            try superviseDaemon()
            nap(.milliseconds(number(50...1500)))
        }
        try load.stop()
        report.commands += load.commandCount
        report.note(load.longestWaits, happenings, withoutProcessor: processorWaits.between)
        try compare()
        report.rounds += 1
    }

    /// Some kind has not had its turn.
    private var isWanting: Bool { options.kinds.contains { report.faults[$0] == nil } }

    private func nextFault() -> Fault {
        if deck.isEmpty { deck = options.kinds.shuffled(using: &random) }
        return deck.removeLast()
    }

    /// Polls until both sides are equal.
    private func compare() throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            try superviseDaemon()
            if let result = try? ServerComparison(source: source.client(), target: target.client()), result.isEqual {
                report.comparedKeys = result.keyCount
                return
            }
            guard ContinuousClock.now < deadline else { break }
            nap(.milliseconds(100))
        }
        let result = try ServerComparison(source: source.client(), target: target.client())
        if result.isEqual { return }
        throw LabError(
            "\(result.differenceCount) of \(result.keyCount) keys differ after fault \(report.faultCount), seed "
                + "\(options.seed):\n\(Difference.report(result.differences))\n\(logTail)")
    }

    // MARK: The daemon's service manager

    /// Starts the daemon again where systemd would.
    private func superviseDaemon() throws {
        guard let end = daemon.process.end else { return }
        guard end == .exited(69) || end == .exited(75) else {
            throw LabError("df2redis ended with \(end), seed \(options.seed):\n\(logTail)")
        }
        report.restarts.append("\(end)")
        try startDaemon()
    }

    private func startDaemon() throws {
        daemon = try Daemon(.replicate, configuration, folder: folder)
    }

    /// While it runs: what is reported of a process that has ended counts the memory of ours, which it was started from.
    private func noteMemory() {
        guard daemon.process.isRunning else { return }
        report.peakResidentBytes = max(report.peakResidentBytes, daemon.process.usage.peakResidentBytes)
    }

    // MARK: Faults

    private func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    private func someTime(_ range: ClosedRange<Int>) { nap(.milliseconds(number(range))) }

    private func inject(_ fault: Fault) throws {
        switch fault {
        case .daemonKilled:
            daemon.process.kill()
            someTime(0...300)
            try startDaemon()
        case .daemonLeft:
            daemon.process.signal(SIGTERM)
            let end = try daemon.process.waitForEnd(timeout: .seconds(60))
            // The signal may come before the daemon has got as far as to watch for it, or after an end of its own.
            if end == .signalled(SIGTERM) || end == .exited(0) { try startDaemon() }
        case .daemonStopped:
            daemon.process.pause()
            someTime(100...1500)
            daemon.process.resume()
        case .daemonKilledOverStoppedTarget:
            // What the killed one has left in the target's sockets must not take effect after the next one has started.
            target.pause()
            someTime(50...500)
            daemon.process.kill()
            try startDaemon()
            someTime(0...300)
            target.resume()
        case .targetKilled:
            target.kill()
            someTime(0...700)
            try target.restart()
        case .targetStopped:
            target.pause()
            someTime(100...2500)
            target.resume()
        case .targetCut: try eachConnectionOfDaemon { try $0.command("CLIENT", "KILL", "ID", $1) }
        case .targetReadOnly:
            let client = try target.client()
            try client.command("REPLICAOF", "127.0.0.1", "1")
            someTime(100...1000)
            try client.command("REPLICAOF", "NO", "ONE")
        case .targetFull:
            let client = try target.client()
            try client.command("CONFIG", "SET", "maxmemory", "1")
            someTime(100...1000)
            try client.command("CONFIG", "SET", "maxmemory", "0")
        case .targetBusy: try keepTargetBusy(for: number(300...1200))
        case .targetLoading: try reloadTarget(for: number(300...1500))
        case .spoolFilled:
            target.pause()
            try burst(bytes: number(1...15) << 20)
            target.resume()
        case .diskFilled:
            target.pause()
            try burst(bytes: number(36...44) << 20)
            someTime(0...1500)
            target.resume()
        case .sourceFlowsCut: try source.cut(.allFlows)
        case .sourceFlowCut: try source.cut(.oneFlow)
        case .sourceMainCut: try source.cut(.main)
        }
    }

    private func eachConnectionOfDaemon(_ body: (RESPClient, String) throws -> Void) throws {
        let client = try target.client()
        for line in (try client.command("CLIENT", "LIST").text ?? "").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.contains(where: { $0.hasPrefix("name=df2redis:") }), number(0...2) > 0,
                let id = words.first(where: { $0.hasPrefix("id=") })
            else { continue }
            // It may have gone meanwhile.
            try? body(client, String(id.dropFirst(3)))
        }
    }

    /// The target reads its own file anew and answers LOADING meanwhile; connections stay.
    private func reloadTarget(for milliseconds: Int) throws {
        let (loading, control) = (try target.client(), try target.client())
        func slowDown(_ microseconds: Int) throws {
            try control.command("CONFIG", "SET", "key-load-delay", "\(microseconds)")
        }
        try control.command("CONFIG", "SET", "loading-process-events-interval-bytes", "1024")
        try slowDown(5000)
        let thread = WaitingThread(loading, ["DEBUG", "LOADAOF"])
        thread.start()
        nap(.milliseconds(milliseconds))
        try slowDown(0)
        try wait(until: "the target has loaded its data", timeout: .seconds(60)) { thread.hasEnded }
    }

    private func keepTargetBusy(for milliseconds: Int) throws {
        let (busy, killer) = (try target.client(), try target.client())
        let thread = WaitingThread(busy, ["EVAL", "while true do end", "0"])
        thread.start()
        nap(.milliseconds(milliseconds))
        while !thread.hasEnded {
            _ = try killer.send([Array("SCRIPT".utf8), Array("KILL".utf8)])
            nap(.milliseconds(20))
        }
    }

    private static let burstKeys = 60

    /// Few and large records: bytes for the spool that do not use up the master's buffer. Over so many keys that none
    /// grows large: a master that copies megabytes for each record is slow, and its buffer does not last.
    private func burst(bytes: Int) throws {
        let client = try source.client()
        var left = bytes
        while left > 0 {
            let size = min(number(50_000...150_000), left)
            left -= size
            let value = [UInt8](repeating: UInt8(number(65...90)), count: size)
            _ = try client.send([Array("APPEND".utf8), Array("big:\(number(1...Self.burstKeys))".utf8), value])
        }
        for index in 1...Self.burstKeys { try client.command("SET", "big:\(index)", "") }
    }
}
