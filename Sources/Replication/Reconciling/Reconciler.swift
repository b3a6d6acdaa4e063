import Dragonfly
import Logging
import Redis

/// The part of a flow that the reconciler needs.
protocol ReconciledFlow: Sendable {
    /// The keys in `keys` that the flow has not brought.
    func notBrought(_ keys: [[UInt8]], database: UInt32) async -> [[UInt8]]
    /// Waits until nothing is in flight to the target, and keeps the flow quiet until `release`.
    func quiesce() async
    func release() async
    /// Whether the flow will never send anything again.
    var hasEnded: Bool { get async }
}

extension FlowApplier: ReconciledFlow {}

/// The part of the target that the reconciler needs.
protocol ReconciledTarget: Sendable {
    func scan(database: UInt32, cursor: String) async throws(TargetError) -> (cursor: String, keys: [[UInt8]])
    func unlink(_ keys: [[UInt8]], database: UInt32) async throws(TargetError)
    /// Returns when earlier requests have taken effect or never will.
    func renew() async throws(TargetError)
}

extension TargetControl: ReconciledTarget {}

/// Removes from the target, after a full sync, the keys that the source no longer has.
///
/// It scans the target's keys page by page. Keys of a page that no flow has brought are checked again while every flow is
/// quiet between two transactions, and then removed. A later write of a flow follows the removal.
struct Reconciler {
    let control: any ReconciledTarget
    let flows: [any ReconciledFlow]
    let retry: RetryPolicy
    let logger: Logger
    let reserved: ReservedKeys
    /// Waits for the outcome of an uncertain removal. The owner ends it when no flow writes any more.
    var inDoubt = ShieldedWork()
    /// Whether another task fills the database too. Called after keys of the database have been read (`TaskRegistry`).
    var isShared: @Sendable (UInt32) async throws -> Bool = { _ in false }

    /// Removes the keys.
    ///
    /// - Returns: the number of removed keys.
    /// - Throws: `TargetError`; all keys removed until then were rightly removed.
    func run(databases: Set<UInt32>) async throws -> Int {
        var removed = 0
        for database in databases.sorted() {
            var cursor = "0"
            repeat {
                try Task.checkCancellation()
                let page = try await control.scan(database: database, cursor: cursor)
                cursor = page.cursor
                var strangers = page.keys.filter { !reserved.contains($0) }
                strangers = await unknown(strangers, database: database)
                if !strangers.isEmpty, try await isShared(database) {
                    logger.warning(
                        "nothing is removed in database \(database), as another task fills it too: keys that the source has deleted since this task's last session stay. To have them removed: stop the tasks, empty the target, and start them",
                        metadata: ["event": "divergence"])
                    break
                }
                if !strangers.isEmpty { removed += try await remove(strangers, database: database) }
            } while cursor != "0"
        }
        return removed
    }

    /// - Returns: whether there are any keys to remove.
    func hasWork(in databases: Set<UInt32>) async throws -> Bool {
        for database in databases.sorted() {
            var cursor = "0"
            repeat {
                let page = try await control.scan(database: database, cursor: cursor)
                cursor = page.cursor
                let keys = page.keys.filter { !reserved.contains($0) }
                if await !unknown(keys, database: database).isEmpty { return try await !isShared(database) }
            } while cursor != "0"
        }
        return false
    }

    /// - Returns: the number of keys to remove, without databases that another task fills too.
    func countWork(in databases: Set<UInt32>) async throws -> Int {
        var count = 0
        for database in databases.sorted() {
            var (cursor, ofDatabase) = ("0", 0)
            repeat {
                try Task.checkCancellation()
                let page = try await control.scan(database: database, cursor: cursor)
                cursor = page.cursor
                ofDatabase += await unknown(page.keys.filter { !reserved.contains($0) }, database: database).count
            } while cursor != "0"
            if ofDatabase > 0, try await !isShared(database) { count += ofDatabase }
        }
        return count
    }

    private func unknown(_ keys: [[UInt8]], database: UInt32) async -> [[UInt8]] {
        var rest = keys
        for flow in flows where !rest.isEmpty { rest = await flow.notBrought(rest, database: database) }
        return rest
    }

    private func remove(_ keys: [[UInt8]], database: UInt32) async throws -> Int {
        for flow in flows { await flow.quiesce() }
        let doomed = await unknown(keys, database: database)
        var outcome = Result<Int, any Error>.success(doomed.count)
        if Task.isCancelled {
            // The removal was cancelled while the flows became quiet. The caller may no longer be there to wait for it.
            outcome = .failure(CancellationError())
        } else if !doomed.isEmpty {
            do { try await control.unlink(doomed, database: database) } catch {
                // A cancellation or a timeout leaves the request in the target's socket, so its outcome is unknown.
                await inDoubt.run { await resolveInDoubt() }
                outcome = .failure(error)
            }
        }
        for flow in flows { await flow.release() }
        return try outcome.get()
    }

    /// Waits until a removal with unknown outcome has taken effect or never will. Otherwise the removal could overtake a
    /// flow's next write and delete it. Cancelling the removal does not cancel this wait. It ends when the target answers,
    /// or when no flow will write any more.
    private func resolveInDoubt() async {
        var attempt = 0
        while true {
            do { return try await control.renew() } catch {
                logger.debug("the removal's fate is not known yet: \(error)")
            }
            var isPointless = true
            for flow in flows where await !flow.hasEnded { isPointless = false }
            if isPointless || Task.isCancelled { return }
            attempt += 1
            try? await Task.sleep(for: retry.wait(before: attempt))
        }
    }
}
