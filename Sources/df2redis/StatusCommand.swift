import ArgumentParser
import Glibc
import Service

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the tasks that run on this machine.",
        discussion: """
            Asks each task over its Unix socket in /run/df2redis, which root and the group df2redis may. Without names: \
            every task that runs, and every /etc/df2redis/<task>.yaml that does not. KEYS are those of the target, RECORDS those that this session \
            has applied. Exit status 69 if a named task does \
            not run, 75 if it does not answer, 77 if this user may not ask it.
            """)

    @Argument(help: ArgumentHelp("Names of tasks.", valueName: "task"))
    var tasks: [String] = []

    @Flag(help: "Print the whole status of each task, as a JSON array.")
    var json = false

    @Flag(help: "Print it again every two seconds, until Ctrl-C.")
    var watch = false

    func run() throws {
        guard watch else {
            throw ExitCode(try show())
        }
        while true {
            // Clear the screen of a terminal; in a file each table follows the last.
            if isatty(STDOUT_FILENO) == 1, !json { try Console.say("\u{1B}[H\u{1B}[2J", terminator: "") }
            _ = try show()
            sleep(2)
        }
    }

    private func show() throws -> ExitStatus {
        let overview = TaskOverview(tasks: tasks)
        if json {
            try Console.say("[" + overview.documents.joined(separator: ",\n") + "]")
        } else if overview.rows.isEmpty {
            try Console.say("no task runs here (nothing in \(overview.places))")
        } else {
            try Console.say(TaskTable(overview.rows).text)
        }
        if json {
            for case .absent(let name, let absence, let reason) in overview.rows {
                Console.complain("\(name): \(absence.rawValue)" + (reason.isEmpty ? "" : ": \(reason)"))
            }
        }
        return overview.exitStatus
    }
}
