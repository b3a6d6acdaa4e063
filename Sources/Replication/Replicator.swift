import Dispatch
import Dragonfly
import Link
package import Logging
import Redis
import Synchronization

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
    private let targetLimits = KnownTargetLimits()
    private let lease: TaskLease
    private let registry: TaskRegistry
    private var session: ReplicationSession?
    private var isLeaving = false
    private var pause: Task<Void, Never>?
    private var fullSyncs = 0
    /// Why the last session ended.
    private var lastFailure: String?
    private var alarm: LagAlarm
    private var hangs = HangReport()
    private nonisolated let beats = Atomic<Int>(0)

    package init(
        settings: ReplicatorSettings, logger: Logger, notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        var settings = settings
        let key = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        let record = OwnershipRecord(
            checkpoint: key.name, text: ProcessIdentity.current.text, isInCluster: settings.target.cluster != nil)
        settings.target.owner = record
        registry = TaskRegistry(checkpoint: key.name)
        lease = TaskLease(
            settings: settings.target, record: record, registry: registry, keyPrefix: settings.checkpoint.keyPrefix,
            logger: logger)
        self.settings = settings
        self.logger = logger
        self.notice = notice
        alarm = LagAlarm(limit: settings.lagHigh)
        incidents = IncidentLog(
            logger: logger, path: settings.stateDirectory.map { "\($0)/\(settings.task).dead-letters.jsonl" })
    }

    /// Runs until the task has ended.
    ///
    /// - Throws: `ReplicationError`, when it did not end as asked.
    package func run() async throws -> ReplicationSummary {
        let beating = Task {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(1))
                await beat()
            }
        }
        let observer = observeBeats()
        defer {
            beating.cancel()
            observer.cancel()
        }
        do {
            let summary = try await runSessions()
            await lease.release()
            return summary
        } catch {
            await lease.release()
            throw error
        }
    }

    private func runSessions() async throws -> ReplicationSummary {
        var summary = ReplicationSummary()
        var past = SessionHistory()
        let keeper = CheckpointKeeper(
            task: settings.task, settings: settings.checkpoint, registry: registry, logger: logger)
        let watch = TargetWatch(
            connector: TargetConnector(settings: settings.target),
            key: CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix))
        while true {
            past.fullSyncs = summary.fullSyncs
            let session = ReplicationSession(
                settings: settings, lease: lease, registry: registry, keeper: keeper, watch: watch,
                incidents: incidents, targetLimits: targetLimits, logger: logger,
                past: past, notice: notice)
            self.session = session
            if isLeaving { return await settled(summary, past) }
            do {
                let end = try await session.run()
                await session.contribute(to: &summary)
                summary.incidents = incidents.totals
                summary.isUnfinished = settings.mode == .migrate && end == .left
                return summary
            } catch {
                let error = ReplicationError(error)
                await session.contribute(to: &summary)
                fullSyncs = summary.fullSyncs
                let next = past.next(behind: error, of: await session.legacy)
                self.session = nil
                if isLeaving, error.isTransient { return await settled(summary, past) }
                try await wait(for: next, behind: error, &past)
                if isLeaving { return await settled(summary, past) }
            }
        }
    }

    /// Waits until it is time for the next session.
    ///
    /// - Throws: `error`, when there is to be none.
    private func wait(
        for next: SessionHistory.Next, behind error: ReplicationError, _ past: inout SessionHistory
    ) async throws {
        switch next {
        case .atOnce:
            logger.warning("\(error)", metadata: ["event": "resync"])
        case .paced:
            logger.warning("\(error)", metadata: ["event": "resync", "phase": "waiting"])
            await pause(for: past.pacing.wait() ?? .zero)
        case .retry:
            // At the start an unreachable peer is the operator's to know; later it is ours to wait for. One that is
            // loading its data will serve by itself.
            guard error.isTransient, past.hasBegun || error.isLoading else {
                // (Who has taken the task over takes the import mode over as well.)
                if !error.isTransient, past.ownsImportMode, lease.loss == nil { await endImportMode() }
                throw error
            }
            guard let attempt = past.beginAttempt(givingUpAfter: settings.giveUp) else { throw error }
            let wait = min(
                settings.retry.wait(before: attempt), past.hasBegun ? settings.retry.maximum : .seconds(2))
            lastFailure = error.description
            if !past.hasBegun { notice(.loading(idleStatus, next: wait)) }
            logger.warning(
                "\(error); another attempt in \(wait.milliseconds) ms",
                metadata: ["event": "\(error.event)", "phase": "waiting"])
            notice(.phase(idleStatus))
            await pause(for: wait)
        }
    }

    /// The leave without a session.
    private func settled(_ summary: ReplicationSummary, _ past: SessionHistory) async -> ReplicationSummary {
        var summary = summary
        summary.incidents = incidents.totals
        summary.isUnfinished = settings.mode == .migrate
        if past.hasBegun {
            await settings.settleExpiry(importMode: past.ownsImportMode ? .ours : nil, logger: logger)
        }
        return summary
    }

    /// Behind an error that no other start mends: a target in import mode would expire nothing ever more.
    private func endImportMode() async {
        let control = settings.partingControl(role: "settling")
        await settings.endImportMode(.ours, on: control, logger: logger)
        await control.close()
    }

    private func pause(for wait: Duration) async {
        if isLeaving { return }
        let pause = Task { _ = try? await Task.sleep(for: wait) }
        self.pause = pause
        await pause.value
    }

    // MARK: Health

    /// Once a second, with or without a session: figures, alarms, and the sign of life if nothing hangs.
    private func beat() async {
        beats.add(1, ordering: .relaxed)
        let (status, hanging) = await session?.beat() ?? (idleStatus, [])
        for change in hangs.update(hanging) {
            switch change {
            case .hangs(let name):
                logger.error(
                    "\(name) has not had its turn for \(settings.hangBeats) s or more: no signs of life until it has")
            case .recovered(let name): logger.notice("\(name) has its turn again")
            }
        }
        if !status.flows.isEmpty { tellLag(status) }
        notice(.beat(status, isAlive: hanging.isEmpty))
    }

    private func tellLag(_ status: ReplicationStatus) {
        guard let change = alarm.update(status.lag) else { return }
        let about = status.isLagEstimated ? "about " : ""
        let figures = "lag is \(status.lag.tenths) s, \(about)\(status.lagRecords) records, \(status.lagBytes) bytes"
        let metadata: Logger.Metadata = [
            "event": change == .high ? "lagHigh" : "lagNormal", "phase": "\(status.phase.rawValue)",
            "lagSeconds": "\(status.lag.tenths)", "lagRecords": "\(status.lagRecords)",
            "lagBytes": "\(status.lagBytes)",
        ]
        switch change {
        case .high: logger.warning("the \(figures): the target takes less than the source sends", metadata: metadata)
        case .normal: logger.notice("the \(figures): no longer high", metadata: metadata)
        }
    }

    /// While there is no session.
    private var idleStatus: ReplicationStatus {
        ReplicationStatus(
            phase: lastFailure == nil ? .connecting : .waiting, source: settings.source.endpoint.description,
            target: settings.target.endpoint.description, incidents: incidents.totals, fullSyncs: fullSyncs,
            detail: lastFailure)
    }

    /// Says so when the beats stop: they come from the coordinator, which cannot say it itself. It does not beat for it.
    private nonisolated func observeBeats() -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "df2redis.beats"))
        var (last, looks) = (0, 0)
        timer.schedule(deadline: .now() + 1, repeating: 1)
        timer.setEventHandler { [weak self, limit = settings.hangBeats, logger] in
            guard let self else { return }
            let now = beats.load(ordering: .relaxed)
            if now != last, looks > limit { logger.notice("the coordinator has its turn again") }
            (last, looks) = (now, now == last ? looks + 1 : 0)
            if looks == limit + 1 {
                logger.error("the coordinator has not had its turn for \(looks) s: no signs of life until it has")
            }
        }
        timer.activate()
        return timer
    }

    // MARK: Leaving

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
        case .target(let code): code.isTransient
        case .overflow, .targetChanged, .resync, .recordsLost, .dataReplaced, .postponed, .cancelled: true
        case .undecodable, .policy, .file, .configuration, .defect: false
        }
    }

    /// The peer says that it is loading its data.
    package var isLoading: Bool { code == .source(.loading) || code == .target(.loading) }

    /// What came last is not to be applied.
    var distrustsStream: Bool { [.policy, .undecodable, .recordsLost].contains(code) }

    fileprivate var event: String {
        switch code {
        case .target, .overflow, .targetChanged: "targetLost"
        case .recordsLost, .dataReplaced: "resync"
        default: "sourceLost"
        }
    }
}
