/// What a session has come to: what the next one must know of it.
struct SessionOutcome: Sendable {
    /// The source has begun a sync.
    var hasSourceBegun: Bool
    /// It has got as far as a sync: the target has taken it as well.
    var hasBegun: Bool
    var isFullSync: Bool
    /// How long it has followed the source; `nil`: it did not get so far.
    var stableTime: Duration?
    /// This process has switched the target's import mode on.
    var ownsImportMode: Bool
}
