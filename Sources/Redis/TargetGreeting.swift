/// What a target reports about itself before a session begins.
package struct TargetGreeting: Sendable {
    package var profile: TargetProfile
    package var databaseCount: UInt32
    package var figures: TargetFigures
    /// Whether the target expires nothing by itself; `nil` if it has no such mode, does not say, or is a cluster.
    package var isInImportMode: Bool?
    /// How long the target took to answer.
    package var roundTrip: Duration
    /// What the key of the task's record holds, or the error if the target does not say. The key is watched from here on.
    package var holder: Result<RecordHolder, TargetError>
}
