/// The kind of error that ended a session, which is also the event of the log line.
package enum SessionFailure: String, CaseIterable, Sendable {
    case sourceLost, targetLost
    /// There is no room left for records that wait for the target.
    case overflow
    /// The stream has not brought everything that the source holds.
    case resync

    init(_ error: ReplicationError) {
        self =
            switch error.code {
            case .overflow: .overflow
            case .target, .targetChanged: .targetLost
            case .recordsLost, .dataReplaced: .resync
            default: .sourceLost
            }
    }
}
