import Dragonfly
import Link
import Preflight
import Redis
import Replication

/// The options of the task `test` with these two servers, which has never run.
func preflightOptions(source: SourceSettings, target: TargetSettings) -> PreflightOptions {
    var settings = ReplicatorSettings(
        task: "test", mode: .replicate, source: source, target: target, clock: { WallClock.milliseconds() })
    settings.stateDirectory = "/tmp"
    settings.diskBytes = 0
    var options = PreflightOptions(settings)
    options.interval = .milliseconds(50)
    return options
}
