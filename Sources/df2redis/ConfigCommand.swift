import ArgumentParser
import Service

struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration, or print one to start from.",
        discussion: """
            --check prints the configuration as the task would use it (defaults filled in, passwords redacted) and \
            'OK', or every fault with its line and exit code 78. No server is contacted.
            """)

    @Option(name: .customLong("check"), help: ArgumentHelp("Check this file.", valueName: "file"))
    var file: String?

    @Option(help: ArgumentHelp("With --check: the task's name, as for 'replicate'.", valueName: "name"))
    var taskName: String?

    @Flag(help: "Print a configuration with every key, its default and its meaning.")
    var printDefault = false

    func validate() throws {
        if (file == nil) != printDefault {
            throw ValidationError("Give either --check <file> or --print-default.")
        }
        if file == nil, taskName != nil {
            throw ValidationError("--task-name goes with --check only.")
        }
    }

    func run() throws {
        guard let file else {
            try Console.say(Service.Configuration.defaultYAML, terminator: "")
            return
        }
        let loaded = try ConfigurationLoader().load(file, taskName: taskName)
        try Console.say(loaded.configuration.yaml, terminator: "")
        for warning in loaded.warnings { Console.complain("warning: \(warning)") }
        if let note = HiddenCredentials.note(loaded.configuration) { Console.complain(note) }
        try Console.say("OK")
    }
}
