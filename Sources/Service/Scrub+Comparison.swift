import Comparison
import Dragonfly
import Redis
import Replication
import Servers

extension Scrub {
    /// Commands that comparing one key takes at either side, about.
    private static let commandsPerKey = 3
    /// Keys of a page, so that no server gets more at a stroke.
    private static let pageKeys = 32
    /// Keys a second for which one more connection to either side is worth it.
    private static let keysPerConnection = 2000
    private static let mostConnections = 4

    /// As `df2redis check` does it, at a pace and with few connections to either side.
    init(_ settings: ReplicatorSettings) {
        let checkpoint = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        var usual = ComparisonOptions(checkpointKey: checkpoint.name)
        usual.pageKeys = Self.pageKeys
        usual.apply(settings)
        let servers = ServerPair(source: settings.source, target: settings.visitor("verify"))
        self.init { [usual] keysPerSecond, onFinding, onProgress async throws(Failure) in
            var options = usual
            options.commandsPerSecond = keysPerSecond * Self.commandsPerKey
            options.parallel = min(max(keysPerSecond / Self.keysPerConnection, 1), Self.mostConnections)
            // What was found is mended before the whole pass is over.
            options.mostPending = max(Self.pageKeys, keysPerSecond * 2)
            let comparison = Comparison(
                servers, options: options,
                onDifference: { difference in
                    guard difference.kind != .leftOut else { return }
                    onFinding(
                        Finding(
                            RefreshKey(database: difference.database, key: difference.key),
                            isExtra: difference.kind == .extra))
                },
                onProgress: { onProgress(Progress($0)) })
            do throws(ServerError) {
                _ = try await comparison.run()
            } catch {
                throw Failure(error.description, isTransient: error.isTransient, exitStatus: error.exitStatus.code)
            }
        }
    }
}

extension Scrub.Progress {
    fileprivate init(_ progress: ComparisonProgress) {
        self.init(keys: progress.keys, expectedKeys: progress.expectedKeys, leftOut: progress.leftOut)
    }
}

extension ServerError {
    fileprivate var isTransient: Bool {
        switch self {
        case .source(let error): error.isTransient
        case .target(let error): error.isTransient
        case .cancelled: true
        }
    }
}
