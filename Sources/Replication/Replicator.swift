import Dragonfly
import Link
package import Logging
import Redis

/// A task's life: sessions, one after the other, until the operator or an error ends it.
///
/// 1. target reachable, its version and checkpoint known
/// 2. connect, handshake, flows
/// 3. full sync, or go on at the checkpoint
/// 4. stable
/// 5. on loss: leave FIN-first, wait, and again from 1
/// 6. asked to leave: leave
package actor Replicator {
    let settings: ReplicatorSettings
    let logger: Logger
    private let notice: @Sendable (ReplicatorNotice) -> Void
    private let incidents: IncidentLog
    private var session: ReplicationSession?
    private var isLeaving = false
    private var pause: Task<Void, Never>?

    package init(
        settings: ReplicatorSettings, logger: Logger, notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        self.settings = settings
        self.logger = logger
        self.notice = notice
        incidents = IncidentLog(
            logger: logger, path: settings.stateDirectory.map { "\($0)/\(settings.task).dead-letters.jsonl" })
    }

    /// Runs until the task has ended.
    ///
    /// - Throws: `ReplicationError`, when it did not end as asked.
    package func run() async throws -> ReplicationSummary {
        var summary = ReplicationSummary()
        var hasEverBegun = false
        var attempt = 0
        var lostSince: ContinuousClock.Instant?
        var mustSyncFully = false
        while true {
            let session = ReplicationSession(
                settings: settings, incidents: incidents, logger: logger, fullSyncsBefore: summary.fullSyncs,
                ignoresCheckpoint: mustSyncFully, notice: notice)
            self.session = session
            if isLeaving {
                if hasEverBegun { await settleExpiry() }
                return summary
            }
            do {
                _ = try await session.run()
                await session.contribute(to: &summary)
                summary.incidents = incidents.totals
                return summary
            } catch {
                let error = ReplicationError(error)
                await session.contribute(to: &summary)
                self.session = nil
                if isLeaving, error.isTransient {
                    await settleExpiry()
                    return summary
                }
                // The flows disagree, or the position has just left the source's buffer: at once again, without it.
                if error.code == .source(.resumeRefused), !mustSyncFully {
                    mustSyncFully = true
                    logger.warning("\(error)", metadata: ["event": "resync"])
                    continue
                }
                mustSyncFully = false
                let began = await session.hasBegun
                if began { (hasEverBegun, attempt, lostSince) = (true, 0, nil) }
                // At the start an unreachable peer is the operator's to know; later it is ours to wait for.
                guard hasEverBegun, error.isTransient else { throw error }
                let since = lostSince ?? .now
                lostSince = since
                if let giveUp = settings.giveUp, since.duration(to: .now) > giveUp { throw error }
                attempt += 1
                let wait = settings.retry.wait(before: attempt)
                logger.warning(
                    "\(error); another attempt in \(wait.milliseconds) ms",
                    metadata: ["event": "sourceLost", "phase": "waiting"])
                let pause = Task { _ = try? await Task.sleep(for: wait) }
                self.pause = pause
                await pause.value
                if isLeaving {
                    await settleExpiry()
                    return summary
                }
            }
        }
    }

    /// Leaves; called again, it shortens the drain.
    package func leave() async {
        isLeaving = true
        pause?.cancel()
        await session?.requestLeave()
    }
}

extension ReplicationError {
    /// Another session may do better with nothing changed by hand.
    package var isTransient: Bool {
        switch code {
        case .source(let code): SourceError(code, "").isTransient
        case .target(let code): code == .unreachable || code == .notReady
        case .overflow, .targetChanged, .resync: true
        case .undecodable, .policy, .file: false
        }
    }
}
