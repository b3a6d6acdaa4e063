import ArgumentParser
import Lab

/// Injects faults in random order under a load of commands that are not idempotent, and compares both sides.
struct TortureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "torture",
        abstract: "Kills, stops and cuts daemon, target and connections under load, and compares both sides.",
        discussion: "A run is given by its seed: the same seed gives the same faults in the same order.")

    @Option(help: "Faults in all.") var faults = 100
    @Option(help: "What decides the faults and the load; random by default.") var seed: UInt64?
    @Option(help: "No new fault after so many minutes.") var minutes: Double?
    @Option(help: "Shards of the master, and so flows.") var shards = 2
    @Option(help: "Commands a second on the source.") var rate = 1500
    @Option(help: "Kinds of faults, separated by commas; all by default.") var kinds: String?
    @Option(help: "Give the spool a file system of its own of so many MiB, to fill it for real (as root).")
    var spoolDisk: Int?
    @Option(help: "What is written into: standalone or cluster.") var target = Torture.TargetKind.standalone
    @Flag(help: "The simulated master even if DRAGONFLY_BIN names a real one.") var simulated = false
    @Flag(help: "Write what a journal says too little of as well (XREADGROUP, SORT STORE, LMPOP ...): a real master.")
    var unrecorded = false
    @Flag(help: "Print the daemon's log at the end.") var showLog = false

    func run() throws {
        var options = Torture.Options(target: target)
        options.faults = faults
        if let seed { options.seed = seed }
        options.shards = shards
        options.commandsPerSecond = rate
        options.writesIncompletelyJournaled = unrecorded
        options.spoolFileSystemBytes = spoolDisk.map { $0 << 20 }
        options.limit = minutes.map { .milliseconds(Int64($0 * 60_000)) }
        if let kinds {
            options.kinds = try kinds.split(separator: ",").map { name in
                guard let kind = target.faults.first(where: { $0.rawValue == name }) else {
                    let all = target.faults.map(\.rawValue).joined(separator: ", ")
                    throw ValidationError("'\(name)' is no kind of fault; there are \(all)")
                }
                return kind
            }
        }
        let source = try TortureSource(shards: shards, isReal: !simulated && DragonflyServer.isAvailable)
        say(
            "torture: \(faults) faults, seed \(options.seed), \(source.description), \(target.rawValue) target, \(rate) commands a second"
        )
        let torture = try Torture(options, source: source) { say("  \($0)") }
        do {
            try torture.run()
        } catch {
            if showLog { say(torture.log) }
            source.stop()
            throw error
        }
        if showLog { say(torture.log) }
        let report = torture.report
        let violations = report.violations(source.stop())
        let kinds = report.faults.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.value) \($0.key.rawValue)" }
        say("faults          \(report.faultCount): \(kinds.joined(separator: ", "))")
        say("commands        \(report.commands)")
        tellWaits("longest waits  ", report.waitsOtherwise)
        tellWaits("daemon stopped ", report.waitsOfStoppedDaemon)
        say("comparisons     \(report.rounds), all equal; \(report.comparedKeys) keys in the last")
        say("continued       \(report.continued) times; full syncs after the first: \(report.fullSyncs)")
        for reason in report.fullSyncReasons { say("  full sync: \(reason)") }
        for (cause, count) in report.overflows.sorted(by: { $0.key < $1.key }) where count > 0 {
            say("no room left    \(count) times (\(cause))")
        }
        say("restarted       \(report.restarts.count) times after \(Set(report.restarts).sorted())")
        say("peak memory     \(report.peakResidentBytes >> 20) MiB")
        for violation in violations { say("seen by the master: \(violation)") }
        guard violations.isEmpty, report.needlessFullSyncs == 0 else {
            say("the torture failed, seed \(options.seed)")
            throw ExitCode(1)
        }
    }
    /// Prints how long the source's writers waited, each time with the last fault that had begun.
    private func tellWaits(_ name: String, _ waits: [Torture.Wait]) {
        for (index, wait) in waits.enumerated() {
            let fault = wait.fault.map {
                "\(wait.sinceFault.seconds.fixed(2)) s after the beginning of \($0.rawValue), which lasted "
                    + "\(wait.faultLasted.seconds.fixed(2)) s"
            }
            let head = index == 0 ? name : String(repeating: " ", count: name.count)
            let master =
                wait.withoutProcessor > wait.duration / 4
                ? "; the master got no processor for \(wait.withoutProcessor.seconds.fixed(2)) s of it" : ""
            say("\(head) \(wait.duration.seconds.fixed(3)) s, \(fault ?? "before any fault")\(master)")
        }
    }
}

extension Torture.TargetKind: ExpressibleByArgument {}
