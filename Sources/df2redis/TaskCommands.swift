import ArgumentParser
import Service

/// The options of the commands that need a task's configuration.
struct TaskOptions: ParsableArguments {
    @Option(name: .customLong("config"), help: ArgumentHelp("The task's configuration (YAML).", valueName: "file"))
    var file: String

    @Option(
        help: ArgumentHelp(
            "The task's name: part of log records, of the checkpoint and of file names.",
            discussion: "Letters, digits and . _ @ - only. Without it: taskName in the file, else the file's name.",
            valueName: "name"))
    var taskName: String?

    /// Loads the configuration, runs the task to its end and leaves with its exit code.
    func run(_ mode: ReplicationService.Mode) async throws {
        let loaded = try ConfigurationLoader().load(file, taskName: taskName)
        do throws(PrivilegeDrop.Refusal) {
            try PrivilegeDrop(loaded.configuration).run { Console.complain($0) }
        } catch {
            Console.complain(error.description)
            throw ExitCode(error.exitStatus)
        }
        let service = ReplicationService(
            configuration: loaded.configuration, mode: mode, warnings: loaded.warnings, configurationFile: file)
        throw ExitCode(await service.run())
    }
}

struct Replicate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy everything, then follow the source until stopped.",
        discussion: """
            After the full copy each change at the source is applied to the target as it happens. A restart goes on \
            where the last run ended. Stop it with SIGTERM or Ctrl-C: it disconnects from the source cleanly and exits \
            with 0.
            """)

    @OptionGroup var options: TaskOptions

    func run() async throws {
        try await options.run(.replicate)
    }
}

struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copy everything once, then exit.",
        discussion: """
            The target gets all that the source holds at the moment of the copy; later changes are not followed. \
            Ends with a summary and exit code 0.
            """)

    @OptionGroup var options: TaskOptions

    func run() async throws {
        try await options.run(.migrate)
    }
}
