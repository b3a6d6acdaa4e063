import Dragonfly
import Link
import Logging
import Redis

/// Leaves the source FIN-first, whatever the reason, and clears up what the session has left in the target.
@SessionActor
final class SessionLeaving {
    /// How a session is left.
    struct Plan {
        /// Whether received records that are not applied yet are still applied, as far as the time allows.
        var applies: Bool
        /// `false` if the records are applied after the leave, however long that takes.
        var closesFlows = true
        /// No other session resumes where this one ends, so TTLs become exact.
        var isFinal = false
    }

    /// How long a leave continues to apply what was received, before and after its FIN together.
    private static let applyLimit = Duration.milliseconds(700)
    private static let cleaningLimit = Duration.seconds(3)

    private let scope: SessionScope
    private let checkpoint: SessionCheckpoint
    private let reconciliation: ReconciliationRun
    private let ttls: SessionTTLs
    private let logger: Logger

    init(
        _ scope: SessionScope, checkpoint: SessionCheckpoint, reconciliation: ReconciliationRun, ttls: SessionTTLs
    ) {
        self.scope = scope
        self.checkpoint = checkpoint
        self.reconciliation = reconciliation
        self.ttls = ttls
        logger = scope.task.logger
    }

    private var settings: ReplicatorSettings { scope.task.settings }

    /// Leaves the source. Acknowledgements stop, and what is in flight drains. Then every flow is half-closed, read until
    /// the master's FIN, and closed; the main connection is closed last. Data that arrives between our FIN and the master's
    /// is applied too, as far as the time allows.
    func leave(because reason: String, _ plan: Plan) async {
        var plan = plan
        // An incomplete snapshot is of no use to the next session, which begins with a new one.
        plan.applies = plan.applies && (scope.sync.phase == .stable || scope.flows.areAllStable)
        let fetchesStreams = plan.isFinal && plan.applies && canFetchStreams
        scope.sync.enterLeaving()
        scope.health.begin("leaving", atMost: settings.drain + settings.finWait + .seconds(30))
        // 1. The background tasks end.
        scope.backgroundTasks.cancelAll(but: fetchesStreams ? .refresh : nil)
        await scope.dataSets.stop()
        await scope.source.inspector.close()
        scope.reportPhase()
        guard let master = scope.source.master, scope.sync.hasBegun || !scope.flows.isEmpty else {
            return await leaveBeforeSync(isFinal: plan.isFinal)
        }
        let departure = LeaveLog(logger: logger)
        logger.notice("leaving: \(reason)", metadata: ["phase": "leaving", "event": "leaving"])
        // 2. Acknowledgements stop.
        await master.stopAcknowledging()
        departure.log("acknowledgements stopped")
        // 3. What is on its way arrives and is applied. Meanwhile, streams whose groups consumers have read are fetched.
        let fetched = fetchesStreams ? scope.task.operatorRequests.fetchStreamsNow() : 0
        await drain(master, plan, departure)
        scope.backgroundTasks.cancelAll()
        let deadline = ContinuousClock.now + (plan.applies && plan.closesFlows ? Self.applyLimit : .zero)
        if plan.applies { _ = await scope.flows.drain(until: deadline) }
        if fetched > 0 { report(fetched: fetched, departure) }
        // 4. FIN is sent on every flow, and the flows are read until the master's FIN.
        await master.halfCloseFlows()
        departure.log("FIN sent on \(await master.flows.count) flows")
        let ends = await master.waitForMasterFIN(within: settings.finWait)
        let drained = plan.applies ? await scope.flows.drain(until: deadline) : []
        report(ends, drained: drained, applies: plan.applies, departure)
        // 5. The flows are closed, then the main connection.
        await master.close(within: settings.finWait)
        // 6. The target gets what the next session must know.
        if !drained.isEmpty { await within(.seconds(1)) { [checkpoint] in await checkpoint.storeRecords() } }
        let isComplete = plan.applies && drained.count == scope.flows.appliers.count
        if scope.leaveRequest.isCutover {
            await within(.seconds(1)) { [scope] in
                await scope.task.checkpointStore.noteCutOver(isComplete: isComplete, on: scope.control)
            }
        }
        if plan.closesFlows { await closeFlows(isExact: isComplete) }
        // 7. The target's TTLs become the source's exact ones.
        if plan.isFinal { await restoreExactTTLs(of: drained, departure) }
        departure.end()
        if plan.isFinal { reportUnreadKeys() }
    }

    /// Reports keys that are known to differ at the target, because they have not been read at the source yet.
    private func reportUnreadKeys() {
        guard let refreshes = scope.task.refreshes else {
            guard settings.mode == .migrate, scope.task.incidents.divergences > 0 else { return }
            return logger.warning(
                "at most \(counted(scope.task.incidents.divergences, "key")) may differ from the source, which only a task that replicates reads there again: df2redis check names them",
                metadata: ["phase": "leaving"])
        }
        let waiting = refreshes.figures.waiting
        guard waiting > 0, !scope.leaveRequest.isCutover else { return }
        logger.warning(
            "\(counted(waiting, "key")) may differ from the source: they wait to be read there, which goes on when this task runs again with this state directory",
            metadata: ["phase": "leaving"])
    }

    /// Leaves before the sync has begun, possibly in the middle of the handshake.
    private func leaveBeforeSync(isFinal: Bool) async {
        await scope.source.master?.close()
        await scope.flows.close()
        if isFinal {
            await within(ReplicatorSettings.restoreLimit + .seconds(2)) { [ttls] in await ttls.restoreWithoutFlows() }
        }
    }

    private func drain(_ master: MasterSession, _ plan: Plan, _ departure: LeaveLog) async {
        guard plan.applies else {
            for flow in await master.flows { await flow.discard() }
            return
        }
        guard plan.closesFlows, !scope.flows.hasLostFlow else { return }
        if await scope.leaveRequest.drain(for: settings.drain) { departure.log("drained") }
    }

    /// Whether streams can be fetched: the leave is not urgent, and both sides serve.
    private var canFetchStreams: Bool {
        scope.sync.phase == .stable && !scope.flows.hasLostFlow && !scope.flows.isTargetLost
            && !scope.leaveRequest.isWithoutDrain && settings.drain > .zero && scope.task.operatorRequests.hasStreams
    }

    private func report(fetched: Int, _ departure: LeaveLog) {
        let rest = scope.task.operatorRequests.unfetchedStreams
        departure.log(
            rest == 0
                ? "\(fetched) streams that have groups of consumers are as at the source"
                : "of \(fetched) streams that have groups of consumers \(rest) could not be read at the source in time: what consumers have read of them may be delivered again",
            level: rest == 0 ? .info : .notice)
    }

    private func report(
        _ ends: [MasterSession.FlowDeparture], drained: Set<FlowID>, applies: Bool, _ departure: LeaveLog
    ) {
        for end in ends {
            let progress = scope.flows.progress[end.flow.index]
            let lsn = progress.appliedLSN.map { ", next LSN \($0)" } ?? ""
            if drained.contains(end.flow) {
                departure.log("everything received is applied\(lsn)", flow: end.flow)
            } else if applies {
                let rest = end.receivedBytes - min(progress.appliedBytes, end.receivedBytes)
                departure.log(
                    "\(rest) bytes received are not applied and not acknowledged\(lsn)", flow: end.flow, level: .notice)
            }
            if end.sawMasterFIN {
                departure.log("the source's FIN is here, \(end.receivedBytes) bytes received", flow: end.flow)
            } else {
                departure.log("closed without the source's FIN", flow: end.flow, level: .warning)
            }
        }
    }

    /// Closes the flows and then stores the last position, which may wait for the disk. The source has been left by now.
    func closeFlows(isExact: Bool) async {
        await scope.flows.close()
        reconciliation.end()
        await checkpoint.storeLast(isExact: isExact)
    }

    private func restoreExactTTLs(of drained: Set<FlowID>, _ departure: LeaveLog) async {
        let limit = scope.leaveRequest.isHurried ? Duration.seconds(1) : ReplicatorSettings.restoreLimit
        // The extra time is for ending the target's import mode.
        await within(limit + .seconds(2)) { [ttls] in await ttls.restoreExact(of: drained, departure, within: limit) }
    }

    // MARK: After leaving

    /// Removes what the session has left in the target, and closes the session's connections to it.
    ///
    /// - Parameter error: the error that ended the session, if any.
    func clearUp(after error: ReplicationError? = nil) async {
        await removePartialKeys()
        if let error { await note(error) }
        await scope.backgroundTasks.end()
        await scope.task.targetWatch.close()
        await scope.control.close()
    }

    /// Removes df2redis' own keys under which values were being built. They stay if the target does not answer.
    private func removePartialKeys() async {
        let keys = await scope.flows.partialKeys()
        guard !keys.isEmpty else { return }
        await within(Self.cleaningLimit) { [control = scope.control] in
            for (database, key) in keys {
                do { try await control.unlink([key], database: database) } catch { return }
            }
        }
    }

    private func note(_ error: ReplicationError) async {
        let store = scope.task.checkpointStore
        switch error.code {
        case .policy:
            // The target differs from now on. The next start must not continue as if nothing had happened.
            if scope.sync.hasBegun { await store.noteStopped(on: scope.control) }
        // If the source left out records, later ones were counted and stored under the LSNs of the missing ones. Otherwise
        // the source's data has been replaced.
        case _ where error.resumeBlocker != nil && (scope.sync.hasBegun || scope.history.hasBegun):
            await store.forgetPosition(on: scope.control)
        default: break
        }
    }
}
