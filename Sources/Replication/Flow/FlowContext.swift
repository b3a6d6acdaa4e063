package import Dragonfly
package import Logging
package import Redis

/// The settings and objects that all flows of a session share.
package struct FlowContext: Sendable {
    package var task: String
    package var policy: ReplicationPolicy
    package var session: SessionStateMachine.Session
    package var targetDatabases: UInt32
    package var connector: TargetConnector
    /// Connects to the cluster; `nil` if the target is a single server.
    var cluster: ClusterConnector? { connector.cluster }
    package var incidents: IncidentLog
    package var logger: Logger
    /// The progress of each flow, by flow number.
    package var allProgress: [FlowProgress]
    package var retry: RetryPolicy
    /// A target that owes an answer for this long is reported as lost.
    package var silenceLimit = Duration.seconds(30)
    package var checkpoint = CheckpointSettings()
    /// Whether the position stays when the session ends, so that the next session can continue there.
    package var keepsPosition = true
    /// The run ID of the target process that the session found.
    package var targetRunID = ""
    /// Whether the nodes of a cluster may evict marks, too, when their memory is full.
    package var targetEvictsMarks = false
    /// The target's limits as far as they are known. They outlive the session.
    package var targetLimits = KnownTargetLimits()
    package var counters = TaskCounters()
    /// The keys to be read at the source; `nil` if none are read.
    package var refreshes: RefreshQueue?
    /// Collects streams whose groups are read without a record; `nil` if nobody needs them.
    package var consumedStreams: ConsumedStreams?

    /// The maximum number of commands in one transaction. Commands of one record stay together.
    package var batchCommands = Int.max
    package var pacer: CommandPacer?
    /// The folder for unnamed files; `nil` if there is none.
    package var directory: String?
    /// Returns the Unix time in milliseconds.
    package var clock: @Sendable () -> Int64 = { 0 }

    var checkpointKey: CheckpointKey { CheckpointKey(task: task, prefix: checkpoint.keyPrefix) }
    package var sourceClock = SourceClock()
    /// How far the source's clock is ahead of df2redis' clock, in milliseconds.
    var clockSkew: Int64 { sourceClock.skew }
    /// The tolerance for comparing a deadline with the time, in milliseconds. A PEXPIREAT of an older source whose time is
    /// at most this far ahead was left in the journal by a plain GETEX. A deadline counts as passed only if it lies this
    /// far in the past.
    package var expiryMarginMilliseconds = JournalRewriter.expiryMarginMilliseconds

    package var flowCount: Int { session.flowCount }

    /// Whether the keys of the source's `database` are replicated to the target.
    func replicates(_ database: UInt32) -> Bool {
        database < targetDatabases && !policy.skippedDatabases.contains(database)
    }

    func progress(_ flow: FlowID) -> FlowProgress { allProgress[flow.index] }
}

extension SessionStateMachine.Session {
    var behaviour: SourceBehaviour { SourceBehaviour(version: version, protocolVersion: protocolVersion) }
}
