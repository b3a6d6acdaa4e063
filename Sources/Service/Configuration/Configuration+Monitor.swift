extension Configuration {
    /// What `df2redis monitor` watches at the source, and who hears of it.
    package struct Monitor: Sendable, Equatable {
        /// Words of a Dragonfly whose replicas or snapshots hang.
        package static let standardPatterns = ["Waiting for inflight bytes", "Stream timed out", "replication timeout"]

        package var interval = Duration.seconds(5)
        /// A PING that takes longer is a bad answer.
        package var pingLimit = Duration.seconds(1)
        /// The source's log: a path, or `journal:<unit>`; nil: none.
        package var log: String?
        package var patterns = standardPatterns
        /// How long the log must be quiet until its alert is cleared.
        package var quiet = Duration.seconds(60)
        /// How long a replica may be in a state without moving.
        package var sessionLimit = Duration.seconds(600)
        /// A shell command; nil: none.
        package var hookCommand: String?
        /// Where an alert is posted to as JSON; nil: nowhere. Some of these hold a token.
        package var hookURL: Secret?
    }
}
