package import Dragonfly
package import Redis

/// The two servers of a task.
package struct ServerPair: Sendable {
    package let source: SourceSettings
    package let target: TargetSettings

    package init(source: SourceSettings, target: TargetSettings) {
        self.source = source
        self.target = target
    }
}
