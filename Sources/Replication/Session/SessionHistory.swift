/// What the sessions before this one have left to know.
struct SessionHistory {
    var fullSyncs = 0
    /// A session has got as far as a sync.
    var hasBegun = false
    /// A session has followed the source.
    var hasFollowed = false
    /// Why the session must not go on where the checkpoint stands.
    var distrust: FullSyncReason?
    /// This process has switched the target's import mode on.
    var ownsImportMode = false
    /// A FLUSHALL of the source has ended a full sync, and none has been completed since: it may well be empty.
    var sourceWasEmptied = false
    var pacing = FullSyncPacing()
}
