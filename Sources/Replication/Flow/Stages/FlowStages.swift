import Dragonfly
import Redis
import Wire

/// The stages of one flow, in their order, and the objects that they share.
///
/// | shared | used by |
/// |---|---|
/// | `builder` | stages that write commands |
/// | `reports` | stages that leave something out or halt the flow |
/// | `position` | stages that depend on when a command ran |
///
/// A class, not a struct: a struct with this many references would retain each of them with every copy.
final class FlowStages {
    let builder: BatchBuilder
    let reports: EncoderReports
    let position: StreamPosition

    let targetDatabase: TargetDatabaseStage
    let ownership: OwnershipStage
    let reconcile: ReconcileStage
    let reservedNames: ReservedNamesStage
    let otherDatabase: OtherDatabaseStage
    /// Keeps the TTLs of elements; `nil` if only the target keeps them, or nobody.
    let memberTTLs: MemberTTLStage?
    /// Handles TTLs of hash fields without scripts; `nil` if `memberTTLs` keeps the TTLs or the target has no TTLs of
    /// fields.
    let fieldDoubts: FieldDoubts?
    let rewrite: RewriteStage
    /// Keeps the target from expiring keys that the stream has not expired; `nil` if deadlines are written as they come.
    let expiryGuard: ExpiryGuard?

    /// - Throws: `SystemError` if there is no room for what must be remembered.
    init(flow: FlowID, start: FlowStart, context: FlowContext, profile: TargetProfile) throws {
        let next = start.isContinued ? start.next?.value : nil
        builder = BatchBuilder(context, isJournal: start.isContinued, openDatabases: start.openDatabases)
        reports = EncoderReports(flow, context)
        position = StreamPosition(next: next)
        expiryGuard = try start.expiry.map {
            try ExpiryGuard($0, flow: flow, continuingAt: next, context: context)
        }
        let reserved = ReservedKeys(
            checkpoint: context.checkpointKey.name, isInCluster: context.cluster != nil)
        targetDatabase = TargetDatabaseStage(context, reports)
        ownership = OwnershipStage(flow, context, reports)
        reconcile = ReconcileStage(
            builder, reports, reserved: reserved,
            synced: try start.keyFolder.map { try SyncedKeys(directory: $0, isEssential: start.areKeysEssential) })
        reservedNames = ReservedNamesStage(reserved, builder, reports)
        memberTTLs =
            context.policy.keepsElements(of: profile)
            ? MemberTTLStage(context, profile, builder, reports, position, expiryGuard: expiryGuard) : nil
        fieldDoubts =
            memberTTLs == nil && profile.hasFieldExpiry
            ? FieldDoubts(reports, isContinued: start.isContinued) : nil
        otherDatabase = OtherDatabaseStage(
            context, builder, reports, memberTTLs: memberTTLs, expiryGuard: expiryGuard)
        var rewriter = JournalRewriter(
            profile: profile, source: context.session.behaviour, expiryMargin: context.expiryMarginMilliseconds)
        rewriter.elementExpiry = memberTTLs?.expiry
        rewriter.deadlines = expiryGuard
        rewriter.leavesOutCrossing =
            context.cluster != nil && !profile.canCrossSlots && context.refreshes != nil
        rewriter.hasSeveralFlows = context.session.flowCount > 1
        rewrite = RewriteStage(rewriter, builder, reports, position, isSnapshotComplete: start.isContinued)
        for (database, keys) in start.elementKeys {
            for key in keys { memberTTLs?.note(key.span.bytes, database: database) }
        }
    }

    /// Passes a command through the stages.
    ///
    /// - Parameter conflicts: the conflict stage of a full sync under a conflict policy; otherwise `nil`.
    /// - Returns: the result of the first stage that does not pass the record on. The last stage passes none on.
    func admit(
        _ command: borrowing JournalCommand, at place: RecordPlace, conflicts: ConflictStage?
    ) -> Admission {
        var admission = targetDatabase.admit(command, at: place)
        if admission == .pass { admission = ownership.admit(command, at: place) }
        if admission == .pass, let conflicts { admission = conflicts.admit(command, at: place) }
        guard admission == .pass else { return admission }
        builder.select(place.database)
        if let other = command.otherDatabase { builder.touch(other) }
        admission = reconcile.admit(command, at: place)
        if admission == .pass { admission = reservedNames.admit(command, at: place) }
        if admission == .pass { admission = otherDatabase.admit(command, at: place) }
        if admission == .pass { transfer(command, at: place) }
        if admission == .pass, let memberTTLs { admission = memberTTLs.admit(command, at: place) }
        guard admission == .pass else { return admission }
        admission = rewrite.admit(command, at: place)
        guard admission == .written else { return admission }
        memberTTLs?.wrote(command, at: place)
        fieldDoubts?.wrote(command, at: place)
        return admission
    }

    private func transfer(_ command: borrowing JournalCommand, at place: RecordPlace) {
        let lsn = place.isInSnapshot ? 0 : position.nextLSN
        let count = reports.transfer(command, database: place.database, at: lsn)
        if count > 0 { builder.batch.progress.transfers += count }
    }
}
