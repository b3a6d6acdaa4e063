/// The result of a session, which decides how the next session starts.
struct SessionOutcome: Sendable {
    /// The session got as far as a sync.
    var hasBegun: Bool
    var isFullSync: Bool
    /// How long the session was stable; `nil` if it never was.
    var stableTime: Duration?
    /// This process has switched the target's import mode on.
    var ownsImportMode: Bool
}
