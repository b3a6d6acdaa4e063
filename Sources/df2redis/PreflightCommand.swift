import ArgumentParser
import Service

struct Preflight: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at both servers and at this host before a task runs.",
        discussion: """
            Each line is ok, warn or fail, and says what to do. Nothing is written, and no replication session is made. \
            Exit status 0, or 65 when a line is fail.
            """)

    @OptionGroup var task: TaskOptions

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() async throws {
        let loaded = try ConfigurationLoader().load(task.file, taskName: task.taskName)
        for warning in loaded.warnings { Console.complain("warning: \(warning)") }
        let service = PreflightService(configuration: loaded.configuration, configurationFile: task.file)
        let report = await service.run()
        try Console.say(json ? report.json : report.text)
        throw ExitCode(report.exitStatus)
    }
}
