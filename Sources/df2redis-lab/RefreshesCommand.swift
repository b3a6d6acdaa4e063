import ArgumentParser
import Lab

/// Makes a task read very many keys at the source, all at once.
struct RefreshesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "refreshes",
        abstract:
            "Asks a task to read very many keys at a real master, kills it in the middle, and compares both sides.")

    @Option(help: "Keys.") var keys = 1_000_000

    func run() throws {
        let report = try RefreshFlood(keys: keys).run()
        say("refreshed    \(report.refreshed) keys in \(report.seconds.fixed(1)) s, with a SIGKILL in the middle")
        say("peak memory  \(report.peakResidentBytes >> 20) MiB")
        say("full syncs   \(report.fullSyncs); differences: \(report.differences)")
        if report.differences > 0 { throw ExitCode(1) }
    }
}
