import Dragonfly
import Link
import Logging
import Redis

/// From the target's greeting to the first byte of the flows.
extension ReplicationSession {
    /// Milliseconds between the source's clock and ours that are worth a line.
    private static let skewTold: Int64 = 1000

    func open() async throws {
        // Each request has a limit of its own, which a slow source with many flows may need for each.
        begin("opening the session", atMost: .seconds(600))
        let claim = try await lease.claim()
        let profile = claim.profile
        targetLimits.configure(profile.limits)
        let databaseCount = try await control.databaseCount()
        rights = claim.rights
        for loss in rights.losses { incidents.tellOnce(loss, level: .warning) }
        await beginWatching()
        try await reportOtherTasks()
        let opening = try await keeper.open(on: control, targetRunID: profile.runID)
        logger.info(
            "target \(settings.target.endpoint) is \(profile), \(databaseCount) databases",
            metadata: ["phase": "connecting"])

        databases = TaskDatabases(opening)
        // A source that is not there says so better when the session is opened.
        let calls = settings.mode == .replicate ? try? await inspector.calls() : nil
        let resumeBlocker = past.distrust ?? roleChange(since: opening, calls)
        // The databases are noted when a full sync is complete: positions without them are what idle flows of a target
        // that was emptied have written since.
        let mayResume =
            settings.mode == .replicate && !opening.isReconciling && !opening.isStopped && opening.databases != nil
            && resumeBlocker == nil
        let resume = mayResume ? opening.position : nil
        let master = MasterSession(
            settings: settings.source, resumePoint: resume, keeper: settings.keeper, clock: settings.clock,
            onEvent: { [post] in post.yield(.connection($0)) })
        self.master = master
        let (session, modes) = try await master.open()
        logger.info(
            "source \(settings.source.endpoint): \(session.flowCount) flows, replication id \(session.replicationID), session \(session.syncID)",
            metadata: ["phase": "connecting"])
        let skew = master.sourceClock.skew
        if abs(skew) > Self.skewTold {
            logger.warning(
                "the source's clock is \(abs(skew)) ms \(skew > 0 ? "ahead of" : "behind") ours, which is allowed for; the target, if its clock is not the source's, expires keys early or late",
                metadata: ["phase": "connecting"])
        }
        isFullSync = modes.first != .partial
        // In a cluster, what has been applied after the position is known slot by slot, and some of it is repeated.
        let mayRepeat = opening.mayRepeat || settings.target.cluster != nil
        replicationID = session.replicationID
        try await prepareTarget(
            opening, targetRunID: profile.runID, session: session, resumeBlocker: resumeBlocker)
        try await beginImportMode(profile)
        var connector = TargetConnector(settings: settings.target)
        connector.usesImportMode = isInImportMode

        let context = FlowContext(
            task: settings.task, policy: policy, session: session, targetDatabases: databaseCount,
            connector: connector, incidents: incidents, logger: logger,
            allProgress: (0..<session.flowCount).map { _ in FlowProgress() }, retry: settings.retry,
            silenceLimit: settings.targetSilence, checkpoint: settings.checkpoint, targetRunID: profile.runID,
            targetLimits: targetLimits,
            batchCommands: settings.batchCommands,
            pacer: settings.commandsPerSecond.map { CommandPacer(commandsPerSecond: $0) },
            directory: settings.spoolDirectory, clock: settings.clock, sourceClock: master.sourceClock,
            expiryMarginMilliseconds: expiryMargin(master.sourceClock))
        progress = context.allProgress
        barrier = GlobalBarrier(flowCount: session.flowCount)
        let elementKeys = try await elementKeysToTakeOver(flowCount: session.flowCount)
        let expiry = try await prepareExpiry(session, resume: isFullSync ? nil : resume)
        for (index, mode) in modes.enumerated() {
            let flow = FlowID(index)
            var start = FlowStart(mode: mode, next: isFullSync ? nil : resume?.nextLSNs[index])
            start.mayRepeat = mayRepeat
            start.openDatabases = isFullSync ? [] : databases.known
            if isFullSync, isReconciling || hasOtherTasks { start.keyFolder = settings.spoolDirectory }
            start.areKeysEssential = isReconciling
            if isFullSync, settings.policy.onConflict != .overwrite { start.conflictFolder = settings.spoolDirectory }
            start.elementKeys = elementKeys[index]
            start.expiry = expiry(flow)
            let intake = Intake(budget: budget, spoolDirectory: settings.spoolDirectory, clock: settings.clock)
            appliers.append(
                try FlowApplier(
                    flow: flow, start: start, intake: intake, context: context, profile: profile,
                    onEvent: { [post] in post.yield(.flow($0)) }))
        }
        watchDataSet(opening.note, calls)
        health.probes = appliers.map(\.probe)
        for applier in appliers { try await applier.start() }
        phase = isFullSync ? .fullSync : .stable
        logger.notice(
            isFullSync ? "full sync begins" : "continuing where the checkpoint stands",
            metadata: ["phase": "\(phase.rawValue)", "event": isFullSync ? "fullSyncBegun" : "stable"])
        let continues = try await master.begin(receivers: appliers.map(\.intake))
        hasBegun = true
        if continues { try await tellWhereCatchingUpEnds(isNeeded: mayRepeat) }
        connections = await master.flows
        health.probes += connections.map { QueueProbe("the reader of flow \($0.flow)", queue: $0.queue) }
        if let queue = await master.mainQueue {
            health.probes.append(QueueProbe("the connection to the source", queue: queue))
        }
        if continues {
            stableSince = .now
            await dataSet?.start()
            for applier in appliers { await startAcknowledging(applier.flow) }
        }
        notice(.ready(status))
    }

    /// What was a replica since the checkpoint may hold anything, under the same replication id.
    private func roleChange(since opening: CheckpointKeeper.Opening, _ calls: SourceCalls?) -> FullSyncReason? {
        guard opening.position != nil, let calls, let before = opening.note?.calls?.roleChanges,
            calls.roleChanges > before
        else { return nil }
        return .roleChanged(calls: calls.roleChanges, before: before)
    }

    private func watchDataSet(_ note: DataSetNote?, _ calls: SourceCalls?) {
        guard settings.mode == .replicate else { return }
        dataSet = DataSetWatch(
            inspector: inspector,
            control: TargetControl(connector: TargetConnector(settings: settings.target), role: "counts"),
            checkpoint: checkpointKey, registry: registry, progress: progress, appliers: appliers,
            incidents: incidents, keeper: keeper,
            judge: DataSetJudge(note: isFullSync ? nil : note ?? DataSetNote(), callsBefore: calls), logger: logger,
            onDifference: { [post] in post.yield(.dataReplaced($0)) })
    }

    /// The next session continues the comparison where this one leaves it.
    func storeDataSetNote() async throws {
        guard let note = await dataSet?.note, note != DataSetNote() else { return }
        try await keeper.note(note, on: control)
    }

    /// Where the source does not tell its time, its clock may be further off than the setting allows for.
    private func expiryMargin(_ clock: SourceClock) -> Int64 {
        let margin = settings.expiryMargin.milliseconds
        return clock.isMeasured ? margin : max(margin, JournalRewriter.expiryMarginMilliseconds)
    }

    private func prepareTarget(
        _ opening: CheckpointKeeper.Opening, targetRunID: String, session: SessionStateMachine.Session,
        resumeBlocker: FullSyncReason?
    ) async throws {
        guard isFullSync else {
            guard let position = opening.position else { preconditionFailure("it goes on from a position") }
            return try await keeper.begin(
                .continuing(position), opening, targetRunID: targetRunID, on: control)
        }
        let reason = FullSyncReason(
            opening, session: session, hasFollowed: past.hasFollowed, distrust: resumeBlocker)
        if let reason, settings.mode == .replicate {
            logger.warning("a full sync is needed: \(reason)", metadata: ["event": "resync"])
        }
        if let wait = past.pacing.wait() {
            throw ReplicationError(
                .postponed,
                "the last \(past.pacing.failures) full syncs did not last: the next one begins in \(wait.milliseconds) ms"
            )
        }
        if settings.existing != .flush, settings.policy.onConflict != .overwrite, opening.isKnown {
            throw ReplicationError(
                .policy,
                "this task has written to the target before, and conflict.policy cannot tell its keys from others: set it to "
                    + "overwrite, or fullSync.existing to flush, or empty the target")
        }
        if settings.existing == .auto { tellSharedDatabases() }
        isReconciling =
            switch settings.existing {
            case .auto: databases.hasOwn || opening.isReconciling
            case .reconcile: true
            case .replace, .flush: false
            }
        try await keeper.begin(
            .fullSync(isReconciling: isReconciling), opening, targetRunID: targetRunID, on: control)
    }
}
