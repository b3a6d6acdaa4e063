import Base
import Foundation
import Wire

/// Runs df2redis under faults in random order, between a master under a load of commands that are not idempotent and a
/// real server or cluster with append-only files. Both sides must be equal at the end, without an unnecessary full sync.
package final class Torture {
    /// A kind of fault.
    package enum Fault: String, CaseIterable, Sendable {
        case daemonKilled, daemonLeft, daemonStopped, daemonKilledOverStoppedTarget
        case targetKilled, targetStopped, targetCut, targetReadOnly, targetFull, targetBusy, targetLoading
        case nodeKilled, nodeReplaced, nodeStopped, nodeCutOff, nodeCut, nodeFull, failedOver, slotsMoved
        case spoolFilled, diskFilled
        case sourceFlowsCut, sourceFlowCut, sourceMainCut
    }

    package enum TargetKind: String, CaseIterable, Sendable {
        case standalone, cluster

        /// The faults that are possible with this kind of target.
        package var faults: [Fault] {
            let ofCluster: Set<Fault> = [
                .nodeKilled, .nodeReplaced, .nodeStopped, .nodeCutOff, .nodeCut, .nodeFull, .failedOver, .slotsMoved,
            ]
            let ofServer: Set<Fault> = [
                .targetKilled, .targetCut, .targetReadOnly, .targetFull, .targetBusy, .targetLoading,
            ]
            return Fault.allCases.filter { !(self == .cluster ? ofServer : ofCluster).contains($0) }
        }
    }

    package struct Options: Sendable {
        package var faults = 100
        package var seed: UInt64 = .random(in: 0 ... .max)
        package var shards = 2
        /// The load includes commands that the journal records incompletely, and df2redis compares both sides all the time.
        package var writesIncompletelyJournaled = false
        package var commandsPerSecond = 1500
        /// No new fault after this time, once each kind has had its turn.
        package var limit: Duration?
        /// Faults between two comparisons.
        package var faultsPerRound = 10
        package var kinds: [Fault]
        package let target: TargetKind
        /// The size in bytes of a file system for the spool, smaller than `spool.diskBytes`, which needs the right to
        /// mount; `nil` for an ordinary folder, in which case `diskFilled` uses up the budget instead.
        package var spoolFileSystemBytes: Int?

        package init(target: TargetKind = .standalone) {
            self.target = target
            kinds = target.faults
        }
    }

    package struct Report: Sendable {
        package var faults: [Fault: Int] = [:]
        package var commands = 0
        package var comparedKeys = 0
        package var rounds = 0
        /// Full syncs, without the first one.
        package var fullSyncs = 0
        /// The `fullSyncs` that were necessary because a replica without a master's last writes replaced it in the
        /// cluster, and the source could not send all of these writes again.
        package var fullSyncsForLostWrites = 0
        /// Full syncs that nothing required.
        package var needlessFullSyncs: Int { max(0, fullSyncs - fullSyncsForLostWrites) }
        /// The reasons of the full syncs, in the daemon's words.
        package var fullSyncReasons: [String] = []
        /// Ends of the daemon that the faults did not ask for, and after which a service manager would have restarted it.
        package var restarts: [String] = []
        package var continued = 0
        /// The longest waits of writers on the source.
        package var waits: [Wait] = []
        package var peakResidentBytes = 0

        /// How often the spool had no room left, by cause.
        package var overflows: [String: Int] = [:]

        package var faultCount: Int { faults.values.reduce(0, +) }

        /// The violations that the simulated master saw, without the RSTs that the kernel sends for a killed daemon.
        package func violations(_ seen: [String]) -> [String] {
            let kills = (faults[.daemonKilled] ?? 0) + (faults[.daemonKilledOverStoppedTarget] ?? 0)
            return kills > 0 ? seen.filter { !$0.hasPrefix("RST ") } : seen
        }
    }

    package let options: Options
    package private(set) var report = Report()
    private let say: (String) -> Void
    private let source: TortureSource
    private let target: any TortureTarget
    private let folder: TemporaryFolder
    private var daemon: Daemon
    private let configuration: Daemon.Configuration
    private var dice: TortureDice
    private var happenings: [InjectedFault] = []
    private let schedulingDelays: SchedulingDelays
    /// Kinds that have not had their turn: each one comes once before any comes again.
    private var deck: [Fault] = []
    private var fileSystem: SmallFileSystem?

    package init(_ options: Options, source: TortureSource, say: @escaping (String) -> Void) throws {
        self.options = options
        self.source = source
        self.say = say
        schedulingDelays = SchedulingDelays(pid: source.pid)
        dice = TortureDice(seed: options.seed)
        target = try options.target == .cluster ? ClusterTortureTarget() : StandaloneTortureTarget()
        folder = try TemporaryFolder("torture")
        if let bytes = options.spoolFileSystemBytes {
            fileSystem = try SmallFileSystem(at: folder.file("state/\(Daemon.taskName).spool"), bytes: bytes)
        }
        configuration = Daemon.Configuration(
            source: source.port, target: target.port,
            sections: [
                "spool": ["memoryBytes: 1048576", "diskBytes: 16777216"],
                "reconnect": ["initialMilliseconds: 50", "maxSeconds: 1"],
                "shutdown": ["drainSeconds: 0.2"], "target": target.configuration,
                "refresh": ["keysPerSecond: \(options.writesIncompletelyJournaled ? 2000 : 50)"],
                "verify": ["keysPerSecond: \(options.writesIncompletelyJournaled ? 5000 : 0)"],
                // A key that differs unnoticed may make the target refuse a command that the source has executed.
                "policy": ["onError: \(options.writesIncompletelyJournaled ? "skip" : "stop")"],
            ])
        daemon = try Daemon(.replicate, configuration, folder: folder)
    }

    /// The daemon's log so far, for finding out what went wrong.
    package var log: String { daemon.logOfAllProcesses }
    package var logTail: String { daemon.process.outputTail(lines: 60) }

    /// - Throws: `LabError` if the sides are not equal, or a server or the daemon does not come back.
    package func run() throws {
        defer {
            schedulingDelays.stop()
            daemon.process.signal(SIGCONT)
            daemon.process.kill()
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
        let reasons = log.split(separator: "\n").compactMap { line in
            line.range(of: "a full sync is needed: ").map { String(line[$0.upperBound...]) }
        }
        report.fullSyncReasons = reasons
        report.fullSyncs = log.components(separatedBy: "full sync begins").count - 2
        report.fullSyncsForLostWrites =
            log.split(separator: "\n").count {
                $0.contains("leaving:") && $0.contains("that the cluster had confirmed: a full sync is needed")
            }
        for line in log.split(separator: "\n") where line.contains("there is no room left") {
            guard line.contains("another attempt in") else { continue }
            let cause =
                line.contains("spool.diskBytes is spent")
                ? "the budget is spent" : line.contains("the disk is slow") ? "the disk is slow" : "the disk is full"
            report.overflows[cause, default: 0] += 1
        }
        report.continued = log.components(separatedBy: "resuming at the checkpoint").count - 1
    }

    private func round(_ count: Int) throws {
        let load = try TortureLoad(
            port: source.port, commandsPerSecond: options.commandsPerSecond, otherDatabase: target.otherDatabase,
            writesIncompletelyJournaled: options.writesIncompletelyJournaled, seed: dice.seed())
        for _ in 0..<count {
            let fault = nextFault()
            report.faults[fault, default: 0] += 1
            noteMemory()
            say("\(report.faultCount): \(fault.rawValue)")
            let start = ContinuousClock.now
            try inject(fault)
            happenings.append(InjectedFault(fault: fault, start: start, end: .now))
            try superviseDaemon()
            blockThread(for: .milliseconds(number(50...1500)))
        }
        try load.stop()
        report.commands += load.commandCount
        report.note(load.longestWaits, happenings, withoutProcessor: schedulingDelays.between)
        try compare()
        report.rounds += 1
    }

    /// Whether some kind has not had its turn.
    private var isWanting: Bool { options.kinds.contains { report.faults[$0] == nil } }

    private func nextFault() -> Fault {
        if deck.isEmpty { deck = dice.shuffled(options.kinds) }
        return deck.removeLast()
    }

    /// Polls until both sides are equal.
    private func compare() throws {
        let deadline = ContinuousClock.now + .seconds(options.writesIncompletelyJournaled ? 180 : 60)
        while true {
            try superviseDaemon()
            if let result = try? target.compare(with: source.client()), result.isEqual {
                report.comparedKeys = result.keyCount
                return
            }
            guard ContinuousClock.now < deadline else { break }
            blockThread(for: .milliseconds(100))
        }
        let result = try target.compare(with: source.client())
        if result.isEqual { return }
        throw LabError(
            "\(result.differenceCount) of \(result.keyCount) keys differ after fault \(report.faultCount), seed "
                + "\(options.seed):\n\(Difference.report(result.differences))\n\(target.report)\n\(logTail)")
    }

    // MARK: The daemon's service manager

    /// Restarts the daemon if systemd would.
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

    /// Notes the memory of the running daemon. After its end, the reported peak may include the memory of this process,
    /// which started it.
    private func noteMemory() {
        guard daemon.process.isRunning else { return }
        report.peakResidentBytes = max(report.peakResidentBytes, daemon.process.usage.peakResidentBytes)
    }

    // MARK: Faults

    private func number(_ range: ClosedRange<Int>) -> Int { dice.number(range) }
    private func someTime(_ range: ClosedRange<Int>) { dice.someTime(range) }

    private func inject(_ fault: Fault) throws {
        if try target.inject(fault, &dice) { return }
        switch fault {
        case .daemonKilled:
            daemon.process.kill()
            someTime(0...300)
            try startDaemon()
        case .daemonLeft:
            daemon.process.signal(SIGTERM)
            let end = try daemon.process.waitForEnd(timeout: .seconds(60))
            // The signal may arrive before the daemon handles it, or after the daemon has ended by itself.
            if end == .signalled(SIGTERM) || end == .exited(0) { try startDaemon() }
        case .daemonStopped:
            daemon.process.pause()
            someTime(100...1500)
            daemon.process.resume()
        case .daemonKilledOverStoppedTarget:
            // Commands that the killed daemon has left in the target's sockets must not take effect after the next one
            // has started.
            target.pause()
            someTime(50...500)
            daemon.process.kill()
            try startDaemon()
            someTime(0...300)
            target.resume()
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
        default: throw LabError("a \(options.target.rawValue) target has no fault \(fault.rawValue)")
        }
    }

    private static let burstKeys = 60

    /// Writes few and large records: bytes for the spool that do not use up the master's buffer of records.
    ///
    /// The records go to so many keys that no value grows large: a master that copies megabytes for each record is
    /// slow, and its buffer does not last.
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
