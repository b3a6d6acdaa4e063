import ArgumentParser
import Service

struct Health: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a running task how it is; restart it if it hangs.",
        discussion: """
            A task that waits for its target is well, and one that has lost its source tries again by itself: neither is \
            restarted. Exit status: 0 it is well, waits, or was restarted; 69 it does not run; 75 it is ill; \
            77 this user may not ask it.
            """)

    @Argument(help: ArgumentHelp("The task's name.", valueName: "task"))
    var task: String

    @Option(help: ArgumentHelp("How often it is asked before it is called ill.", valueName: "number"))
    var tries = 3

    @Option(help: ArgumentHelp("How long to wait between two tries.", valueName: "seconds"))
    var pause = 5

    @Flag(help: "Have systemd restart df2redis@<task> when it is ill; it leaves its source in order.")
    var restart = false

    func validate() throws {
        if !(1...100).contains(tries) { throw ValidationError("--tries is 1 to 100.") }
        if !(0...3600).contains(pause) { throw ValidationError("--pause is 0 to 3600.") }
    }

    func run() throws {
        let check = TaskHealthCheck(task: task, tries: tries, pause: .seconds(pause))
        var status = ExitStatus.done
        switch check.run({ Console.complain("\(task): \($0)") }) {
        case .healthy: try Console.say("\(task): well")
        case .waiting(let reason): try Console.say("\(task): waits for its source: \(reason)")
        case .absent(let reason):
            Console.complain("\(task): \(reason)")
            status = .taskNotRunning
        case .forbidden(let reason):
            Console.complain("\(task): \(reason)")
            status = .notPermitted
        case .unhealthy(let reason):
            Console.complain("\(task): ill: \(reason)")
            status = .taskUnhealthy
            if restart {
                if let failure = check.restart() {
                    Console.complain("\(task): cannot be restarted: \(failure)")
                } else {
                    Console.report("\(task): restarted")
                    status = .done
                }
            }
        }
        throw ExitCode(status)
    }
}
