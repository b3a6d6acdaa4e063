import ArgumentParser
import Service

/// The command line: it reads options and the configuration, and hands over to `Service`.
@main
struct DF2Redis: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "df2redis",
        abstract: "Follows a Dragonfly master and keeps a Redis or Valkey server equal to it.",
        discussion: """
            A task is described by one YAML file, as a rule /etc/df2redis/<task>.yaml:
              df2redis config --print-default > /etc/df2redis/prod.yaml
              df2redis config --check /etc/df2redis/prod.yaml
              df2redis replicate --config /etc/df2redis/prod.yaml

            The exit status tells how a run ended (64 command line, 69 source, 75 target, 77 password, \
            78 configuration); df2redis(1) lists all codes.
            """,
        version: "df2redis \(Version.current)",
        subcommands: [
            Replicate.self, Migrate.self, Preflight.self, Check.self, Config.self, Status.self, Stop.self,
            Verify.self, Refresh.self, Cutover.self, Monitor.self, Health.self,
        ])

    /// Leaves the session of an earlier process that was killed, then runs the command. Each fault of an error is one line
    /// on standard error.
    static func main() async {
        let departures = ReplicationService.leaveAbandonedSession()
        await ReplicationService.$inheritedDepartures.withValue(departures) { await parseAndRun() }
    }

    private static func parseAndRun() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            leave(with: error)
        }
    }

    private static func leave(with error: any Error) -> Never {
        if let error = error as? ConfigurationError {
            Console.complain(error.description)
            exit(withCode: ExitCode(error.exitStatus))
        }
        if let failure = error as? OutputFailure { leave(with: failure) }
        let code = exitCode(for: error)
        // Help and version come as errors too; they belong on standard output.
        if code.isSuccess {
            let text = fullMessage(for: error)
            do { if !text.isEmpty { try Console.say(text) } } catch { leave(with: error) }
            exit(withCode: code)
        }
        if code == .validationFailure {
            Console.complain(message(for: error) + "\n'df2redis --help' shows the commands and options.")
            exit(withCode: code)
        }
        exit(withError: error)
    }

    private static func leave(with failure: OutputFailure) -> Never {
        Console.complain("\(failure)")
        exit(withCode: ExitCode(ExitStatus.fileFailed))
    }

    private static func exit(withCode code: ExitCode) -> Never {
        exit(withError: code)
    }
}

extension ExitCode {
    init(_ status: ExitStatus) { self.init(status.code) }
}
