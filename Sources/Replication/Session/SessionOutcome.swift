/// What a session has come to: what the next one must know of it.
struct SessionOutcome: Sendable {
    /// It has got as far as a sync.
    var hasBegun: Bool
    var isFullSync: Bool
    /// How long it has followed the source; `nil`: it did not get so far.
    var stableTime: Duration?
    /// This process has switched the target's import mode on.
    var ownsImportMode: Bool
}
