import ArgumentParser
import Service

struct Monitor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Watch a task's source, and raise alerts.",
        discussion: """
            Whether the Dragonfly answers and how fast, whether its log has one of monitor.patterns, whether a replica's \
            session hangs. An alert is a log record, and a hook if monitor.hook is set; it is raised once and cleared once. \
            Runs until SIGTERM or Ctrl-C.
            """)

    @OptionGroup var task: TaskOptions

    func run() async throws {
        let loaded = try ConfigurationLoader().load(task.file, taskName: task.taskName)
        let service = MonitorService(configuration: loaded.configuration, warnings: loaded.warnings)
        throw ExitCode(await service.run())
    }
}
