import Link
import Logging
import Redis

/// Makes sure that only one process runs the task. Every process of the task reads a record in the target
/// (`OwnershipRecord`). If two processes run, perhaps on two hosts, the first one continues and the second one ends.
///
/// An owner counts as dead, and its record is replaced, if it ran on this machine and no longer does, if none of its
/// connections is left in the target, or if nobody has renewed its record for `OwnershipRecord.lifetime` by the target's
/// clock. The clocks of the hosts do not matter.
///
/// The lease lives as long as the process. It has its own connection, because it must not wait for the data's.
actor TaskLease {
    private static let interval = Duration.seconds(3)
    private static let pollInterval = Duration.milliseconds(300)
    /// A record counts as renewed if its TTL is at least this much longer than expected.
    private static let renewalMilliseconds: Int64 = 500
    private static let releaseLimit = Duration.seconds(2)

    private let control: TargetControl
    private let record: OwnershipRecord
    private let ownership: OwnershipClaim
    private let registry: TaskRegistry
    private let user: String?
    private let ownKeys: Set<String>
    private let logger: Logger
    private var renewal: Task<Void, Never>?
    /// The renewal that is under way. Its end removes every WATCH from the connection.
    private var renewing: Task<Bool, Never>?
    /// A claim is under way. It may watch keys on the connection that renewals use too.
    private var isClaiming = false
    private var hasOwned = false
    private var hasReportedTrouble = false
    private nonisolated let ended = Lock(0)
    /// Another process has taken over the task, so this process must end.
    private nonisolated let takenBy = Lock<TargetError?>(nil)

    /// - Parameters:
    ///   - settings: the settings of the task's other connections, which name `record` as the owner's.
    ///   - checkpoint: the key of the task's checkpoint.
    ///   - keyPrefix: the prefix of the checkpoints' keys.
    init(
        settings: TargetSettings, record: OwnershipRecord, registry: TaskRegistry, checkpoint: String,
        keyPrefix: String, logger: Logger
    ) {
        self.registry = registry
        var settings = settings
        settings.owner = nil
        user = settings.user
        let prefix = "\(ReservedKeys.prefix)"
        let plain: Set<String> = keyPrefix.hasPrefix(prefix) ? [prefix] : [prefix, keyPrefix]
        ownKeys = settings.cluster == nil ? plain : plain.union(["{*}\(prefix)"])
        control = TargetControl(
            connector: TargetConnector(settings: settings), role: "owner", replacesOwn: false)
        self.record = record
        ownership = OwnershipClaim(
            record, checkpoint: checkpoint, task: String(checkpoint.dropFirst(keyPrefix.count)), registry: registry,
            on: control)
        self.logger = logger
    }

    /// Why this process no longer owns the task; `nil` while it does.
    nonisolated var loss: TargetError? { takenBy.withLock { $0 } }

    /// How often the record has expired while this process owned the task. The target counts each as an expired key, which
    /// is not data.
    nonisolated var lapses: Int { ended.withLock { $0 } }

    /// What the claim has found out for the session.
    struct Claim: Sendable {
        var target: TargetGreeting
        var rights: TargetRights
        var task: TaskFindings

        var profile: TargetProfile { target.profile }
    }

    /// Checks whether the task can run with this target, takes or renews the ownership, ends all other connections of the
    /// task, and reads what the target then holds.
    ///
    /// This takes three round trips: the first asks what the target is and begins to ask what it allows, the second
    /// completes the latter, and the third writes the record.
    ///
    /// - Throws: `TargetError`; `taskTaken` if another process runs the task, `permission` if a right is missing. In both
    ///   cases nothing has been written.
    func claim() async throws(TargetError) -> Claim {
        isClaiming = true
        defer { isClaiming = false }
        _ = await renewing?.value
        if let loss { throw loss }
        async let findings = control.rights(ownKey: record.key)
        var target = try await ownership.greet()
        let rights: TargetRights
        do { rights = try await findings } catch { throw TargetError(error) }
        try rights.requireNeeded(user: user, ownKeys: ownKeys)
        target.profile.hasRestore = rights.allows("RESTORE")
        target.profile.hasScripts = rights.allows("EVAL")
        target.profile.canCrossSlots = rights.canCrossSlots
        let task = try await acquireRecord(from: target.holder.get())
        if renewal == nil { renewal = Task { await self.renewRecord() } }
        return Claim(target: target, rights: rights, task: task)
    }

    /// Another process's record, while it is waited for whether that still runs.
    private struct RivalRecord {
        let text: String
        let endsIn: Int64
        let seen = ContinuousClock.now

        var age: Duration { seen.duration(to: .now) }

        /// Somebody else has been quicker, or it has been renewed: its process lives.
        func hasChanged(to holder: RecordHolder) -> Bool {
            holder.text != text || holder.endsIn > endsIn - age.milliseconds + TaskLease.renewalMilliseconds
        }
    }

    /// - Parameter holder: the value of the record's key.
    private func acquireRecord(from holder: RecordHolder) async throws(TargetError) -> TaskFindings {
        var holder = holder
        var rival: RivalRecord?
        var abandoned: String?
        var hasRetried = false
        while true {
            do throws(TargetError) {
                guard let found = holder.text, !record.mayReplace(found), found != abandoned else {
                    if let task = try await takeOver(from: holder) { return task }
                    holder = try await ownership.holder()
                    continue
                }
                if hasOwned { throw lose(to: found) }
                if let rival {
                    if rival.hasChanged(to: holder) { throw refusal(found) }
                    // A record that lasts this long without being renewed has no TTL, and no living process owns it.
                    if rival.age > OwnershipRecord.lifetime * 1.5 { abandoned = found }
                } else {
                    if try await control.hasOtherConnections() == false {
                        abandoned = found
                        continue
                    }
                    logger.info(
                        "the task was last run by \(OwnershipRecord.description(of: found)): waiting up to \(OwnershipRecord.lifetime.components.seconds) s to see whether it still runs",
                        metadata: ["phase": "connecting"])
                    rival = RivalRecord(text: found, endsIn: holder.endsIn)
                }
                try await waitForRival()
                holder = try await ownership.holder()
            } catch {
                // Another waiting process may have been faster and have ended our connection. Its record shows that.
                guard rival != nil, error.code == .unreachable, !hasRetried else { throw error }
                hasRetried = true
                holder = try await ownership.holder()
            }
        }
    }

    /// - Returns: `nil` when somebody else has been quicker.
    private func takeOver(from holder: RecordHolder) async throws(TargetError) -> TaskFindings? {
        guard let task = try await ownership.acquire(from: holder) else { return nil }
        if let found = holder.text, found != record.text {
            logger.notice("taking the task over from \(OwnershipRecord.description(of: found)), which has ended")
        }
        hasOwned = true
        return task
    }

    // MARK: The source

    /// Notes in the target which source this process is about to follow, unless the process of another task follows it
    /// (`RivalTasks`).
    ///
    /// - Parameter scope: the databases that this process may fill.
    /// - Throws: `TargetError`; `taskTaken` if another process follows the source, `cutOver` if a task that followed it was cut
    ///   over.
    func claimSource(_ replicationID: String, filling scope: DatabaseScope) async throws(TargetError) {
        // A renewal writes the entry too, and reads nothing.
        isClaiming = true
        defer { isClaiming = false }
        _ = await renewing?.value
        try await note(SourceClaim(replicationID: replicationID, instance: record.instance, scope: scope))
    }

    /// Does the same for databases that the stream reaches and that the configuration does not name.
    func claimDatabases(_ databases: Set<UInt32>) async throws(TargetError) {
        guard var claim = registry.claim, !databases.allSatisfy(claim.scope.contains) else { return }
        claim.scope.add(databases)
        try await note(claim)
    }

    private func note(_ claim: SourceClaim) async throws(TargetError) {
        try await RivalTasks(registry: registry, control: control).requireNone(rivaling: claim)
    }

    // MARK: The record

    private func waitForRival() async throws(TargetError) {
        do { try await Task.sleep(for: Self.pollInterval) } catch {
            throw TargetError(.notReady, "the task's owner was no longer waited for")
        }
    }

    private func refusal(_ found: String) -> TargetError {
        TargetError(
            .taskTaken,
            "the task runs already: \(OwnershipRecord.description(of: found)). One task, one process: stop that one, or give "
                + "this one a taskName of its own")
    }

    private func lose(to found: String) -> TargetError {
        let error = TargetError(
            .taskTaken,
            "\(OwnershipRecord.description(of: found)) has taken the task over, and this one ends: one task, one process"
        )
        takenBy.withLock { if $0 == nil { $0 = error } }
        return error
    }

    // MARK: As the owner

    private func renewRecord() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.interval)
            if Task.isCancelled { return }
            if isClaiming { continue }
            let step = Task { await renewOnce() }
            renewing = step
            defer { renewing = nil }
            if await !step.value { return }
        }
    }

    /// Renews the record once.
    ///
    /// - Returns: `false` if the task has been lost.
    private func renewOnce() async -> Bool {
        do {
            let (isRenewed, found) = try await control.exchange(
                record.key, with: record, mayReplace: record.mayReplace)
            if !isRenewed, let text = found.text { _ = lose(to: text) }
            if !isRenewed { return false }
            if found.text == nil { ended.withLock { $0 += 1 } }
            if found.text != record.text {
                // While the record was missing, another task may have taken this process for dead and may now follow the
                // source.
                if let claim = registry.claim { try await note(claim) }
            }
            try await control.renew(registry)
            hasReportedTrouble = false
        } catch  where [.taskTaken, .cutOver].contains(error.code) {
            takenBy.withLock { if $0 == nil { $0 = error } }
            return false
        } catch {
            // The flows notice by themselves that the target is unreachable.
            guard !error.isTransient, !hasReportedTrouble else { return true }
            hasReportedTrouble = true
            logger.warning("cannot record in the target that this process runs the task: \(error)")
        }
        return true
    }

    /// Leaves the task to the next process. If another process has already taken it, the record stays as it is.
    func release() async {
        renewal?.cancel()
        let isSettled = await endRenewal()
        renewal = nil
        if hasOwned, loss == nil {
            let (control, record) = (control, record)
            let isReleased =
                isSettled
                ? await within(Self.releaseLimit) {
                    (try? await control.exchange(record.key, with: nil) { $0 == record.text }) != nil
                } : false
            if !isReleased {
                logger.notice(
                    "the target does not answer: that this process runs the task is recorded there until it has not been renewed for \(OwnershipRecord.lifetime.components.seconds) s"
                )
            }
        }
        await control.close()
    }

    /// Waits for a renewal that is under way, at most as long as the release may take.
    ///
    /// - Returns: `false` if it gave up because the target does not answer.
    private func endRenewal() async -> Bool {
        let (step, renewal) = (renewing, renewal)
        let isSettled = await within(Self.releaseLimit) {
            guard let step else { return true }
            return await withTaskCancellationHandler {
                _ = await step.value
                return !Task.isCancelled
            } onCancel: {
                step.cancel()
            }
        }
        await renewal?.value
        return isSettled
    }
}
