extension Configuration {
    /// What `df2redis monitor` watches at the source, and where it sends alerts.
    package struct Monitor: Sendable, Equatable {
        /// What a Dragonfly logs when its replicas or snapshots hang.
        package static let standardPatterns = ["Waiting for inflight bytes", "Stream timed out", "replication timeout"]

        package var interval = Duration.seconds(5)
        /// A PING that takes longer counts as a failure.
        package var pingLimit = Duration.seconds(1)
        /// The source's log: a path, or `journal:<unit>`; nil for none.
        package var log: String?
        package var patterns = standardPatterns
        /// How long the patterns must be absent from the log before its alert is cleared.
        package var quiet = Duration.seconds(60)
        /// How long a replica may stay in a state without progress.
        package var sessionLimit = Duration.seconds(600)
        /// The shell command to run for an alert; nil for none.
        package var hookCommand: String?
        /// The URL to post an alert to as JSON; nil for none. It may contain a token.
        package var hookURL: Secret?
    }
}
