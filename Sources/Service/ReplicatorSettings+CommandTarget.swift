import Logging
import Redis
import Replication

extension ReplicatorSettings {
    /// The target's settings for a command that runs beside the task. The connection has another name, because a starting
    /// task ends the connections with its own name and counts them as signs that the task is alive.
    func targetSettings(forCommand command: String) -> TargetSettings {
        var target = target
        target.clientName = "df2redis-\(command):\(task)"
        target.owner = nil
        // The task, or the preflight, reports what else the sentinels say.
        target.locator = target.sentinel.map {
            SentinelLocator($0, logger: Logger(label: "df2redis.\(command)") { _ in SwiftLogNoOpLogHandler() })
        }
        return target
    }
}
