import Comparison
import Dragonfly
import Redis
import Replication
import Servers

extension Verifier {
    /// The approximate number of commands that the comparison of one key takes at each side.
    private static let commandsPerKey = 3
    /// The keys of one page. It is small so that no server gets many commands at once.
    private static let pageKeys = 32
    /// The rate in keys per second that justifies one more connection to each side.
    private static let keysPerConnection = 2000
    private static let mostConnections = 4

    /// Compares as `df2redis check` does, but at a limited rate and with few connections to each side.
    init(_ settings: ReplicatorSettings) {
        let checkpoint = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        var usual = ComparisonOptions(checkpointKey: checkpoint.name)
        usual.pageKeys = Self.pageKeys
        usual.apply(settings)
        let servers = ServerPair(source: settings.source, target: settings.targetSettings(forCommand: "verify"))
        self.init { [usual] keysPerSecond, onFinding, onProgress async throws(Failure) in
            var options = usual
            options.commandsPerSecond = keysPerSecond * Self.commandsPerKey
            options.parallel = min(max(keysPerSecond / Self.keysPerConnection, 1), Self.mostConnections)
            // A low limit reports differences, so that they are mended, long before the pass is over.
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

extension Verifier.Progress {
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
