import Logging
import Redis

/// A full sync over old data: what the source no longer has goes.
extension ReplicationSession {
    func beginReconciling() {
        reconciliation = Task {
            var attempt = 0
            while !Task.isCancelled {
                attempt += 1
                do { return try await reconcile() } catch {
                    if Task.isCancelled { return }
                    logger.warning("removing what the source no longer has: \(error); it begins again")
                    try? await Task.sleep(for: settings.retry.wait(before: attempt))
                }
            }
        }
    }

    /// Removes what the source no longer has.
    func reconcile() async throws {
        // A connection of its own: the session's may be in the middle of a transaction.
        let own = TargetControl(connector: TargetConnector(settings: settings.target), role: "reconcile")
        let reconciler = reconciler(on: own)
        do {
            let removed = try await reconciler.run(databases: reconciledDatabases)
            for applier in appliers { await applier.endReconciling(remembers: hasOtherTasks) }
            try await checkpointStore.noteReconciled(on: own)
            isReconciling = false
            logger.notice("reconciled: \(removed) keys removed that the source no longer has")
        } catch {
            await own.close()
            throw error
        }
        await own.close()
    }
}
