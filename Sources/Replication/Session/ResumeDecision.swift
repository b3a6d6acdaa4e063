import Dragonfly
import Redis

/// Whether a session is to resume at the checkpoint's position: out of what the checkpoint says, what the sessions before it have
/// come to, and how often the source's role was changed. Pure, so that a preflight decides as the session does.
struct ResumeDecision {
    /// `nil`: a full sync.
    let position: ResumePoint?
    /// Why the checkpoint's position is not to be resumed at.
    let blocker: FullSyncReason?

    /// - Parameters:
    ///   - calls: what the source's clients have called; `nil`: it does not say.
    ///   - blocker: of the sessions before (`SessionHistory`), or of what the target holds.
    init(_ checkpoint: CheckpointStore.Opening, calls: SourceCalls?, blocker: FullSyncReason? = nil) {
        let blocker = blocker ?? Self.roleChange(since: checkpoint, calls)
        // The databases are noted when a full sync is complete: positions without them are what idle flows of a target
        // that was emptied have written since.
        let mayResume =
            !checkpoint.isReconciling && !checkpoint.isStopped && checkpoint.databases != nil && blocker == nil
        position = mayResume ? checkpoint.position : nil
        self.blocker = blocker
    }

    /// What was a replica since the checkpoint may hold anything, under the same replication id.
    private static func roleChange(since checkpoint: CheckpointStore.Opening, _ calls: SourceCalls?) -> FullSyncReason?
    {
        guard checkpoint.position != nil, let calls, let before = checkpoint.note?.calls?.roleChanges,
            calls.roleChanges > before
        else { return nil }
        return .roleChanged(calls: calls.roleChanges, before: before)
    }
}

extension CheckpointStore.Opening {
    /// Databases of the target that somebody has emptied since the position was stored: the checkpoint is in another one.
    ///
    /// - Parameter store: where the position is: with it database 0 needs no mark.
    /// - Throws: `TargetError`.
    func emptied(
        of key: CheckpointKey, in store: CheckpointSettings.Store, on control: TargetControl
    ) async throws(TargetError) -> FullSyncReason? {
        let marked = marked.subtracting(store == .target ? [0] : [])
        guard position != nil, !marked.isEmpty, !control.isInCluster else { return nil }
        let found = try await control.marks(of: key.task, in: marked, with: key.name)
        let emptied = DatabaseMark.lacking(marked, in: found.marks)
        return emptied.isEmpty ? nil : .databasesEmptied(emptied)
    }
}
