import Logging
import Redis

/// What the target does to the task's keys by itself.
extension ReplicationSession {
    /// At the beginning of a session: what has been lost since the last one.
    func beginWatching() async {
        guard let findings = await watch.look(asksForCheckpoint: false) else { return }
        report(findings)
    }

    func watchTarget() {
        let asks = phase == .stable && databases.areNoted && settings.checkpoint.store == .target
        Task { [post, watch] in
            guard let findings = await watch.look(asksForCheckpoint: asks) else { return }
            post.yield(.target(findings))
        }
    }

    func handle(_ findings: TargetWatch.Findings) throws {
        report(findings)
        switch findings.checkpoint {
        case .intact: break
        case .gone: throw ReplicationError.checkpointGone
        case .evicted:
            let error = ReplicationError.checkpointEvicted(findings.figures.evictionPolicy)
            guard phase == .stable, !isReconciling else { throw error }
            logger.error("\(error); it is written anew", metadata: ["event": "divergence"])
            restoreCheckpoint()
        }
    }

    private func report(_ findings: TargetWatch.Findings) {
        incidents.reportEviction(findings.figures)
        incidents.reportEvicted(findings.loss.evicted, policy: findings.figures.evictionPolicy)
        // (With exact TTLs both sides' clocks end a key at the same time.)
        guard phase == .stable, settings.expiryGuard > .zero else { return }
        let lapses = lease.lapses
        incidents.reportExpired(findings.loss.expired - (lapses - seenLapses))
        seenLapses = lapses
    }

    /// Writes the checkpoint that the target has evicted anew. Every flow comes to rest meanwhile: what is noted is what
    /// is applied.
    private func restoreCheckpoint() {
        guard restoration == nil else { return }
        restoration = Task {
            let own = TargetControl(connector: TargetConnector(settings: settings.target), role: "restore")
            for applier in appliers { await applier.quiesce() }
            if !Task.isCancelled, phase == .stable, let position {
                var fields = checkpointFields(position)
                if let note = await dataSet?.note { fields.append((DataSetNote.field, note.text)) }
                do {
                    try await checkpointStore.restore(fields, on: own)
                } catch {
                    // The next look finds it missing again.
                    logger.warning("the checkpoint cannot be written anew: \(error)")
                }
            }
            for applier in appliers { await applier.release() }
            await own.close()
            restoration = nil
        }
    }
}
