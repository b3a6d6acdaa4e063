import Dispatch
package import Dragonfly
import Link
package import Logging
import Redis

/// Runs a task: one session after the other, until the operator or an error ends it.
///
/// 1. Open a session: target, checkpoint, source, flows (`SessionOpening`).
/// 2. Do a full sync or resume at the checkpoint, then follow the source.
/// 3. If a side is lost, leave FIN-first, wait, and continue with 1.
/// 4. If asked to leave, leave.
package actor Replicator {
    private let task: TaskContext
    private var settings: ReplicatorSettings { task.settings }
    private var logger: Logger { task.logger }
    private var session: ReplicationSession?
    private var isLeaving = false
    private let pause = InterruptibleSleep()
    private var fullSyncs = 0
    /// Why the last session ended.
    private var lastFailure: (text: String, event: SessionFailure)?
    private var retryLog = RetryLog()
    private var alarm: LagAlarm
    private var hangs = HangReport()
    private let observer = BeatObserver()

    package init(
        settings: ReplicatorSettings, logger: Logger, notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        task = TaskContext(settings: settings, logger: logger, notice: notice)
        alarm = LagAlarm(limit: settings.lagHigh)
    }

    /// The last incidents with a key, oldest first; one per key and kind.
    package nonisolated var recentIncidents: [IncidentLog.Recent] { task.incidents.recent }

    /// For each flow, the next LSN that the target has not confirmed yet; `nil` before the stable stream.
    package nonisolated var nextLSNs: [LSN?] { task.positions.nextLSNs }

    /// The requests that an operator may make while the task runs.
    package nonisolated var operatorRequests: OperatorRequests { task.operatorRequests }

    /// Runs the task until it ends.
    ///
    /// - Throws: `ReplicationError` if it did not end because it was asked to.
    package func run() async throws -> ReplicationSummary {
        // This call owns the task and waits for its end.
        let beating = Task {
            while true {
                try? await Task.sleep(for: .seconds(1))
                if Task.isCancelled { return }
                await beat()
            }
        }
        let following = settings.target.locator.map { locator in Task { await locator.watch() } }
        let timer = observer.start(limit: settings.hangBeats, logger: logger)
        let result: Result<ReplicationSummary, any Error>
        do { result = .success(try await runSessions()) } catch { result = .failure(error) }
        await task.lease.release()
        beating.cancel()
        following?.cancel()
        await beating.value
        await following?.value
        timer.cancel()
        return try result.get()
    }

    private func runSessions() async throws -> ReplicationSummary {
        var summary = ReplicationSummary()
        var history = SessionHistory()
        while true {
            history.fullSyncs = summary.fullSyncs
            history.sessions += 1
            let session = await ReplicationSession(task, history: history)
            self.session = session
            if isLeaving { return await summaryWithoutSession(summary, history) }
            do {
                let end = try await session.run()
                await session.contribute(to: &summary)
                task.notice(.sessionEnded(await session.status))
                summary.incidents = task.incidents.totals
                summary.isUnfinished = settings.mode == .migrate && end == .left
                return summary
            } catch {
                let error = ReplicationError(error)
                await session.contribute(to: &summary)
                task.notice(.sessionEnded(await session.status))
                fullSyncs = summary.fullSyncs
                let next = history.next(after: error, of: await session.outcome)
                self.session = nil
                if isLeaving, error.isTransient { return await summaryWithoutSession(summary, history) }
                try await wait(for: next, after: error, &history)
                if isLeaving { return await summaryWithoutSession(summary, history) }
            }
        }
    }

    /// Waits until the next session may begin.
    ///
    /// - Throws: `error` if no other session follows.
    private func wait(
        for next: SessionHistory.Next, after error: ReplicationError, _ history: inout SessionHistory
    ) async throws {
        switch next {
        case .atOnce:
            task.counters.sessionFailed(.resync)
            log(error, "\(error)", ["event": "resync"])
        case .paced:
            task.counters.sessionFailed(.resync)
            log(error, "\(error.message)", ["event": "resync", "phase": "waiting"])
            await pause(for: history.pacing.wait() ?? .zero)
        case .retry:
            // At the start, an unreachable peer ends the task, so that the operator learns of it. Later the task waits for
            // the peer. It always waits for a peer that is loading its data, which will serve by itself.
            guard error.isTransient, history.hasBegun || error.isLoading else {
                // A process that has taken over the task takes over the import mode too.
                if !error.isTransient, history.ownsImportMode, task.lease.loss == nil { await endImportMode() }
                throw error
            }
            guard let attempt = history.beginAttempt(givingUpAfter: settings.giveUp) else {
                logger.error(
                    "the task ends: reconnect.giveUpSeconds (\(settings.giveUp?.components.seconds ?? 0)) have passed")
                throw error
            }
            let wait = min(
                settings.retry.wait(before: attempt), history.hasBegun ? settings.retry.maximum : .seconds(2))
            let failure = SessionFailure(error)
            lastFailure = (error.description, failure)
            task.counters.sessionFailed(failure)
            if !history.hasBegun { task.notice(.loading(idleStatus, next: wait)) }
            let message: Logger.Message = "\(error); another attempt in \(wait.milliseconds) ms"
            if retryLog.isWarning(attempt: attempt, error.description) {
                log(error, message, ["event": "\(failure.rawValue)", "phase": "waiting"])
            } else {
                logger.debug(message, metadata: ["phase": "waiting"])
            }
            task.notice(.phase(idleStatus))
            await pause(for: wait)
        }
    }

    private func log(_ error: ReplicationError, _ text: Logger.Message, _ metadata: Logger.Metadata) {
        logger.warning(text, metadata: error.metadata.merging(metadata) { $1 })
    }

    /// Leaves while there is no session.
    private func summaryWithoutSession(
        _ summary: ReplicationSummary, _ history: SessionHistory
    ) async -> ReplicationSummary {
        var summary = summary
        summary.incidents = task.incidents.totals
        summary.isUnfinished = settings.mode == .migrate
        if history.hasBegun {
            await settings.restoreExactTTLs(importMode: history.ownsImportMode ? .ours : nil, logger: logger)
        }
        return summary
    }

    /// Ends the import mode after an error that another session cannot recover from. Otherwise the target would never
    /// expire keys again.
    private func endImportMode() async {
        let control = settings.controlForLeave(role: "settling")
        await settings.endImportMode(.ours, on: control, logger: logger)
        await control.close()
    }

    private func pause(for wait: Duration) async {
        if isLeaving { return }
        guard let locator = settings.target.locator else { return await pause.sleep(for: wait) }
        await pause.sleep { await locator.wait(for: wait) }
    }

    // MARK: Health

    /// Updates figures and alarms, and reports whether the task is alive. Called once a second, with or without a session.
    private func beat() async {
        observer.beat()
        let (status, hanging) = await session?.beat() ?? (idleStatus, [])
        for change in hangs.update(hanging) {
            switch change {
            case .hangs(let name):
                logger.error(
                    "\(name) has not run for \(settings.hangBeats) s or more: no watchdog pings until it does")
            case .recovered(let name): logger.notice("\(name) runs again")
            }
        }
        if !status.flows.isEmpty { reportLag(status) }
        task.notice(.beat(status, isAlive: hanging.isEmpty))
    }

    private func reportLag(_ status: ReplicationStatus) {
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

    /// The status while there is no session.
    private var idleStatus: ReplicationStatus {
        var status = ReplicationStatus(
            phase: lastFailure == nil ? .connecting : .waiting, source: settings.source.endpoint.description,
            target: settings.target.place, incidents: task.incidents.totals, fullSyncs: fullSyncs,
            detail: lastFailure?.text)
        status.failure = lastFailure?.event.rawValue
        status.counters = task.counters.values
        return status
    }

    // MARK: Leaving

    /// Leaves the source. A second call shortens the drain.
    ///
    /// - Parameters:
    ///   - drains: `false` if the caller knows that everything is applied and that the source sends nothing more.
    ///   - isCutover: the target stores a note that clients write to it from now on.
    package func leave(drains: Bool = true, isCutover: Bool = false) async {
        isLeaving = true
        pause.end()
        await session?.requestLeave(drains: drains, isCutover: isCutover)
    }
}
