import Comparison
import Dragonfly
import Redis
import Replication

extension Scrub {
    /// Commands that comparing one key takes at either side, about.
    private static let commandsPerKey = 3
    /// Keys of a page, so that no server gets more at a stroke.
    private static let pageKeys = 32

    /// As `df2redis check` does it, at a pace and with two connections to either side.
    init(_ settings: ReplicatorSettings, keysPerSecond: Int) {
        let checkpoint = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        var options = ComparisonOptions(checkpointKey: checkpoint.name)
        options.commandsPerSecond = keysPerSecond * Self.commandsPerKey
        options.parallel = 1
        options.pageKeys = Self.pageKeys
        // What was found is mended before the whole pass is over.
        options.mostPending = max(Self.pageKeys, keysPerSecond * 2)
        options.ttlMargins = Set(settings.ttlMargins)
        let servers = ServerPair(source: settings.source, target: settings.visitor("verify"))
        self.init { [options] onFinding, onProgress async throws(Failure) in
            let comparison = Comparison(
                servers, options: options,
                onDifference: { difference throws(ComparisonError) in
                    onFinding(
                        Finding(
                            RefreshKey(database: difference.database, key: difference.key),
                            isExtra: difference.kind == .extra))
                },
                onProgress: { onProgress(Progress(keys: $0.keys, expectedKeys: $0.expectedKeys)) })
            do throws(ComparisonError) {
                _ = try await comparison.run()
            } catch {
                throw Failure(error.description, isTransient: error.isTransient)
            }
        }
    }
}

extension ComparisonError {
    fileprivate var isTransient: Bool {
        switch self {
        case .source(let error): error.isTransient
        case .target(let error): error.isTransient
        case .file, .cancelled: true
        }
    }
}
