import Logging
import Redis
import Replication

extension ReplicatorSettings {
    /// The target, as a command visits it beside the task: under another name, since a task ends the connections of its own
    /// name when it starts, and counts them as its signs of life.
    func visitor(_ command: String) -> TargetSettings {
        var target = target
        target.clientName = "df2redis-\(command):\(task)"
        target.owner = nil
        // What the sentinels say besides is a task's to report, or the preflight's.
        target.locator = target.sentinel.map {
            SentinelLocator($0, logger: Logger(label: "df2redis.\(command)") { _ in SwiftLogNoOpLogHandler() })
        }
        return target
    }
}
