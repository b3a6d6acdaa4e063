import Dragonfly
import Logging
import Redis

/// Removes from the target, after a full sync, the keys that the source no longer has.
///
/// The target's keys are walked a page at a time. Those of a page that no flow has brought are looked at again while every
/// flow holds still between two transactions, and removed; a write that comes later comes after the removal.
struct Reconciler {
    let control: TargetControl
    let appliers: [FlowApplier]
    let logger: Logger
    let checkpointKey: CheckpointKey

    /// - Returns: the number of keys removed.
    /// - Throws: `TargetError`; what was removed until then was rightly removed.
    func run(databases: Set<UInt32>) async throws -> Int {
        var removed = 0
        for database in databases.sorted() {
            var cursor = "0"
            repeat {
                try Task.checkCancellation()
                let page = try await control.scan(database: database, cursor: cursor)
                cursor = page.cursor
                var strangers = page.keys.filter { !isOurs($0) }
                strangers = await unknown(strangers, database: database)
                if !strangers.isEmpty { removed += try await remove(strangers, database: database) }
            } while cursor != "0"
        }
        return removed
    }

    private static let ownPrefix = Array("df2redis:".utf8)

    private func isOurs(_ key: [UInt8]) -> Bool {
        key.starts(with: Self.ownPrefix) || key.elementsEqual(checkpointKey.name.utf8)
    }

    private func unknown(_ keys: [[UInt8]], database: UInt32) async -> [[UInt8]] {
        var rest = keys
        for applier in appliers where !rest.isEmpty { rest = await applier.notBrought(rest, database: database) }
        return rest
    }

    private func remove(_ keys: [[UInt8]], database: UInt32) async throws -> Int {
        for applier in appliers { await applier.hold() }
        let outcome: Result<Int, any Error>
        do {
            let doomed = await unknown(keys, database: database)
            if !doomed.isEmpty { try await control.unlink(doomed, database: database) }
            outcome = .success(doomed.count)
        } catch {
            outcome = .failure(error)
        }
        for applier in appliers { await applier.release() }
        return try outcome.get()
    }
}
