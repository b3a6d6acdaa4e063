import Dragonfly

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
