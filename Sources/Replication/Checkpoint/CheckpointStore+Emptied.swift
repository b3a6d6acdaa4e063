import Redis

extension CheckpointStore.Opening {
    /// Finds databases of the target that somebody has emptied since the position was stored, although the checkpoint
    /// itself survived in another database.
    ///
    /// - Parameter store: where the position is stored. If the target stores it, database 0 needs no mark.
    /// - Returns: `.databasesEmptied`, or `nil` if there are none.
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
