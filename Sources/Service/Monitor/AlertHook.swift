import Base
import Dispatch
import Link
import Logging

/// Sends alerts to a command and to a URL, one after the other.
///
/// The command gets `DF2REDIS_TASK`, `DF2REDIS_SOURCE`, `DF2REDIS_ALERT`, `DF2REDIS_STATE` (raised or cleared) and
/// `DF2REDIS_MESSAGE`, and the same as JSON on standard input; the URL gets the JSON by POST, from `curl`.
struct AlertHook: Sendable {
    private static let limit = Duration.seconds(30)

    let command: String?
    let url: Secret?
    let task: String
    let source: String
    let logger: Logger
    private let queue = DispatchQueue(label: "df2redis.hook")

    init(_ configuration: Configuration, logger: Logger) {
        command = configuration.monitor.hookCommand
        url = configuration.monitor.hookURL
        task = configuration.taskName
        source = configuration.source.address.description
        self.logger = logger
    }

    func send(_ change: ActiveAlerts.Change) {
        let fields = [
            ("TASK", task), ("SOURCE", source), ("ALERT", change.alert.name), ("STATE", change.state),
            ("MESSAGE", change.alert.message),
        ]
        let json = JSONText.object(fields.map { ($0.0.lowercased(), JSONText.quoted($0.1)) }) + "\n"
        if let command {
            let environment = Dictionary(uniqueKeysWithValues: fields.map { ("DF2REDIS_\($0.0)", $0.1) })
            run(["/bin/sh", "-c", command], environment, json, "monitor.hook.command")
        }
        if let url {
            // Standard input carries the JSON, so the URL is in the environment, where no process list shows it.
            let script =
                "curl --silent --show-error --fail --max-time 20 --header 'Content-Type: application/json' --data-binary @- \"$DF2REDIS_URL\""
            run(["/bin/sh", "-c", script], ["DF2REDIS_URL": url.reveal()], json, "monitor.hook.url")
        }
    }

    private func run(_ words: [String], _ environment: [String: String], _ input: String, _ key: String) {
        queue.async { [logger] in
            do throws(SystemError) {
                let program = try ChildProgram(words, environment: environment, input: input)
                switch program.wait(within: Self.limit) {
                case 0: break
                case let code?: logger.error("\(key) has failed with exit status \(code)")
                case nil:
                    logger.error("\(key) was killed: it took longer than \(Self.limit.components.seconds) s, or died")
                }
            } catch {
                logger.error("\(key) cannot be run: \(error)")
            }
        }
    }

    /// Waits until all alerts have been handed on. Blocking.
    func finish() { queue.sync {} }
}
