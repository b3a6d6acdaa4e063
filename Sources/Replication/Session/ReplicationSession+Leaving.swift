import Dragonfly
import Link
import Logging

extension ReplicationSession {
    /// FIN-first, whatever the reason: acknowledgements stop, what is in flight drains, every flow is half-closed and read
    /// to the master's FIN, then closed; the main connection last.
    ///
    /// What arrives between our FIN and the master's is applied too, as far as the time allows.
    ///
    /// - Parameters:
    ///   - closesAppliers: `false` when what was received is to be applied afterwards, however long that takes.
    ///   - isFinal: no other session goes on where this one ends, so TTLs are settled.
    func leave(because reason: String, applies: Bool, closesAppliers: Bool = true, isFinal: Bool = false) async {
        // A snapshot that is cut short is of no use to the next session, which begins with another.
        let applies = applies && (phase == .stable || stableFlows.count == appliers.count)
        phase = .leaving
        begin("leaving", atMost: settings.drain + settings.finWait + .seconds(30))
        reconciliation?.cancel()
        restoration?.cancel()
        await dataSet?.stop()
        await inspector.close()
        notice(.phase(status))
        let departure = Departure(logger: logger)
        guard let master, hasBegun || !appliers.isEmpty else {
            await self.master?.close()
            for applier in appliers { await applier.close() }
            if isFinal {
                await within(ReplicatorSettings.restoreLimit + .seconds(2)) { await self.settleExpiry() }
            }
            return
        }
        logger.notice("leaving: \(reason)", metadata: ["phase": "leaving", "event": "leaving"])
        await master.stopAcknowledging()
        departure.log("acknowledgements stopped")
        let flows = await master.flows
        if applies, closesAppliers, endedFlows.isEmpty, !isHurried {
            let sleep = Task { _ = try? await Task.sleep(for: settings.drain) }
            drainSleep = sleep
            await sleep.value
            departure.log("drained")
        }
        if !applies { for flow in flows { await flow.discard() } }
        let deadline = ContinuousClock.now + (applies && closesAppliers ? Self.applyLimit : .zero)
        if applies { _ = await drain(until: deadline) }
        await master.halfCloseFlows()
        departure.log("FIN sent on \(flows.count) flows")
        let ends = await master.waitForMasterFIN(within: settings.finWait)
        let drained = applies ? await drain(until: deadline) : []
        for end in ends {
            let progress = progress[end.flow.index]
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
        await master.close(within: settings.finWait)
        // Those of the last seconds: where the task has written, a later full sync removes what the source has deleted.
        if !drained.isEmpty, databases.areNoted {
            await within(.seconds(1)) {
                try? await self.storeDatabases()
                try? await self.storeDataSetNote()
            }
        }
        if closesAppliers { await closeAppliers(isExact: applies && drained.count == appliers.count) }
        if isFinal {
            let limit = isHurried ? Duration.seconds(1) : ReplicatorSettings.restoreLimit
            // Time is left behind it for the end of the target's import mode.
            await within(limit + .seconds(2)) { await self.settleExpiry(drained, departure, within: limit) }
        }
        departure.end()
    }

    /// - Returns: an error that no other session mends.
    func applyRestAndClose() async -> ReplicationError? {
        var failure: ReplicationError?
        do { try await applyRest() } catch {
            let error = ReplicationError(error)
            if error.isTransient { logger.warning("\(error)") } else { failure = error }
        }
        await closeAppliers(isExact: false)
        return failure
    }

    /// Applies all that was received before there was no room left: the next session begins behind it, and finds memory and
    /// disk free again.
    private func applyRest() async throws {
        phase = .catchingUp
        let bytes = appliers.reduce(0) { $0 + $1.intake.queuedBytes }
        logger.notice(
            "the source is tried again when the \(bytes >> 10) KiB that wait are applied",
            metadata: ["phase": "\(phase.rawValue)"])
        notice(.phase(status))
        let looker = Task { [post] in
            while !Task.isCancelled {
                try? await Task.sleep(for: .milliseconds(50))
                post.yield(.look)
            }
        }
        defer { looker.cancel() }
        for await event in events {
            begin("applying what waits", atMost: .seconds(60))
            switch event {
            case .look:
                var isBusy = false
                for applier in appliers where await applier.hasMore { isBusy = true }
                if !isBusy || isLeaveRequested { return }
            case .flow(let event): _ = try await handle(event)
            case .tick: try await noteAwaitedDatabases()
            case .target(let findings): try handle(findings)
            case .connection, .pingFailed, .dataReplaced: break
            }
        }
    }

    /// Waits until every flow has applied what it has received, or until `deadline`.
    ///
    /// - Returns: the flows that have.
    private func drain(until deadline: ContinuousClock.Instant) async -> Set<FlowID> {
        await withTaskGroup(of: FlowID?.self) { group in
            for applier in appliers {
                group.addTask {
                    await applier.drain(within: ContinuousClock.now.duration(to: deadline)) ? applier.flow : nil
                }
            }
            var drained: Set<FlowID> = []
            for await flow in group { if let flow { drained.insert(flow) } }
            return drained
        }
    }
}
