import Link
import Logging
import Redis

/// Keeps the task this process's own, by a record in the target that every process of the task reads
/// (`OwnershipRecord`): of two processes, on two hosts perhaps, the first one goes on and the second one ends.
///
/// An owner is dead, and its record is replaced, when it ran on this machine and runs no more, when none of its connections
/// is left in the target, or when nobody has renewed its record for `OwnershipRecord.lifetime` by the target's clock. The
/// clocks of the hosts do not matter.
///
/// It lives as long as the process, and has a connection of its own, since it must not wait for the data's.
actor TaskLease {
    private static let interval = Duration.seconds(3)
    private static let pollInterval = Duration.milliseconds(300)
    /// A record that lasts so much longer than it would by itself has been renewed.
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
    /// A renewal under way: its end is the end of every WATCH on the connection.
    private var renewing: Task<Bool, Never>?
    /// The record is watched, on the connection that renews it too.
    private var isClaiming = false
    private var hasOwned = false
    private var hasReportedTrouble = false
    private nonisolated let ended = Lock(0)
    /// Another process has taken the task: this one is to end.
    private nonisolated let takenBy = Lock<TargetError?>(nil)

    /// - Parameters:
    ///   - settings: those of the task's other connections, which name `record` as the owner's.
    ///   - checkpoint: the key of the task's checkpoint.
    ///   - keyPrefix: what the names of the checkpoint's keys begin with.
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
        ownership = OwnershipClaim(record, checkpoint: checkpoint, registry: registry, on: control)
        self.logger = logger
    }

    /// Why this process no longer owns the task; `nil` while it does.
    nonisolated var loss: TargetError? { takenBy.withLock { $0 } }

    /// How often the record has ended while this process owned the task: keys with a TTL that are no data.
    nonisolated var lapses: Int { ended.withLock { $0 } }

    /// What a session begins with.
    struct Claim: Sendable {
        var target: TargetGreeting
        var rights: TargetRights
        var task: TaskFindings

        var profile: TargetProfile { target.profile }
    }

    /// Asks whether the task can run there at all, makes it this process's own, or renews that, ends whatever else is
    /// connected for it, and reads what the target holds then.
    ///
    /// Three round trips: what the target is, with the beginning of the question what it allows; the rest of that; the
    /// record.
    ///
    /// - Throws: `TargetError`; `taskTaken` when another process runs the task, `permission` when a right is missing: then
    ///   nothing has been written.
    func claim() async throws(TargetError) -> Claim {
        isClaiming = true
        defer { isClaiming = false }
        _ = await renewing?.value
        if let loss { throw loss }
        async let findings = control.rights(ownKey: record.key)
        var target = try await ownership.greet()
        let rights: TargetRights
        do { rights = try await findings } catch { throw TargetError(error) }
        try rights.demandNeeded(user: user, ownKeys: ownKeys)
        target.profile.hasRestore = rights.allows("RESTORE")
        target.profile.hasScripts = rights.allows("EVAL")
        let task = try await takeRecord(from: target.holder.get())
        if renewal == nil { renewal = Task { await self.renewRecord() } }
        return Claim(target: target, rights: rights, task: task)
    }

    /// - Parameter holder: what the record's key holds.
    private func takeRecord(from holder: RecordHolder) async throws(TargetError) -> TaskFindings {
        var holder = holder
        var rival: (text: String, endsIn: Int64, seen: ContinuousClock.Instant)?
        var abandoned: String?
        var hasRetried = false
        while true {
            do throws(TargetError) {
                let found = holder.text
                if found.map({ $0 == record.text || $0 == abandoned || ProcessIdentity.hasEnded($0) }) ?? true {
                    if let task = try await ownership.take(from: holder) {
                        if let found, found != record.text {
                            logger.notice(
                                "taking the task over from \(OwnershipRecord.description(of: found)), which has ended")
                        }
                        hasOwned = true
                        return task
                    }
                    holder = try await ownership.holder()
                    continue
                }
                guard let found else { continue }
                if hasOwned { throw lose(to: found) }
                if let rival {
                    // Somebody else has been quicker, or it has been renewed: it lives.
                    let elapsed = rival.seen.duration(to: .now)
                    let isRenewed = holder.endsIn > rival.endsIn - elapsed.milliseconds + Self.renewalMilliseconds
                    guard rival.text == found, !isRenewed else { throw refusal(found) }
                    // A record without an end is nobody's who is alive.
                    if elapsed > OwnershipRecord.lifetime * 1.5 { abandoned = found }
                } else {
                    if try await control.hasOtherConnections() == false {
                        abandoned = found
                        continue
                    }
                    logger.info(
                        "the task was last run by \(OwnershipRecord.description(of: found)): waiting up to \(OwnershipRecord.lifetime.components.seconds) s to see whether it still runs",
                        metadata: ["phase": "connecting"])
                    rival = (found, holder.endsIn, .now)
                }
                try await waitForRival()
                holder = try await ownership.holder()
            } catch {
                // Another one that waited has been quicker, and has ended our connection: its record says so.
                guard rival != nil, error.code == .unreachable, !hasRetried else { throw error }
                hasRetried = true
                holder = try await ownership.holder()
            }
        }
    }

    // MARK: The source

    /// Notes in the target which source this process is about to follow, unless another task's process does (`RivalTasks`).
    ///
    /// - Parameter scope: the databases that it may fill.
    /// - Throws: `TargetError`; `taskTaken` when another one follows it.
    func claimSource(_ replicationID: String, filling scope: DatabaseScope) async throws(TargetError) {
        // A renewal writes the line too, and reads nothing.
        isClaiming = true
        defer { isClaiming = false }
        _ = await renewing?.value
        try await note(SourceClaim(replicationID: replicationID, instance: record.instance, scope: scope))
    }

    /// The same for databases that the stream comes to, and that the configuration does not name.
    func claimDatabases(_ databases: Set<UInt32>) async throws(TargetError) {
        guard var claim = registry.claim, !databases.allSatisfy(claim.scope.contains) else { return }
        claim.scope.add(databases)
        try await note(claim)
    }

    private func note(_ claim: SourceClaim) async throws(TargetError) {
        try await RivalTasks(registry: registry, control: control).demandNone(beside: claim)
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

    /// - Returns: `false` when the task has been lost.
    private func renewOnce() async -> Bool {
        do {
            let (isRenewed, found) = try await control.exchange(record.key, with: record) {
                $0 == nil || $0 == record.text
            }
            if !isRenewed, let text = found.text { _ = lose(to: text) }
            if !isRenewed { return false }
            if found.text == nil {
                ended.withLock { $0 += 1 }
                // Without the record another task may have taken this process for dead, and may follow the source by now.
                if let claim = registry.claim { try await note(claim) }
            }
            try await control.renew(registry)
            hasReportedTrouble = false
        } catch  where error.code == .taskTaken {
            takenBy.withLock { if $0 == nil { $0 = error } }
            return false
        } catch {
            // The flows notice an absent target by themselves.
            guard !error.isTransient, !hasReportedTrouble else { return true }
            hasReportedTrouble = true
            logger.warning("cannot record in the target that this process runs the task: \(error)")
        }
        return true
    }

    /// Leaves the task to the next process; one that has lost it already leaves the record as it is.
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

    /// Waits for a renewal that is under way, as long as the release may take.
    ///
    /// - Returns: `false` when it was given up: the target does not answer.
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
