import Dragonfly

/// Decides whether a session resumes at the checkpoint's position. The decision depends on the checkpoint, on the results
/// of the previous sessions and on how often the source's role was changed. It is a pure function, so a preflight decides
/// as the session does.
struct ResumeDecision {
    /// `nil` for a full sync.
    let position: ResumePoint?
    /// Why the session must not resume at the checkpoint's position.
    let blocker: FullSyncReason?

    /// - Parameters:
    ///   - calls: how often the source's clients have called certain commands; `nil` if the source does not report it.
    ///   - blocker: a reason from earlier sessions (`SessionHistory`), or from the target's contents.
    init(_ checkpoint: CheckpointStore.Opening, calls: SourceCalls?, blocker: FullSyncReason? = nil) {
        let blocker = blocker ?? Self.roleChange(since: checkpoint, calls)
        // The databases are noted when a full sync is complete. Positions without databases were written by idle flows
        // after somebody emptied the target.
        let mayResume =
            !checkpoint.isReconciling && !checkpoint.isStopped && checkpoint.databases != nil && blocker == nil
        position = mayResume ? checkpoint.position : nil
        self.blocker = blocker
    }

    /// A source that was a replica since the checkpoint may hold any data under the same replication id.
    private static func roleChange(since checkpoint: CheckpointStore.Opening, _ calls: SourceCalls?) -> FullSyncReason?
    {
        guard checkpoint.position != nil, let calls, let before = checkpoint.note?.calls?.roleChanges,
            calls.roleChanges > before
        else { return nil }
        return .roleChanged(calls: calls.roleChanges, before: before)
    }
}
