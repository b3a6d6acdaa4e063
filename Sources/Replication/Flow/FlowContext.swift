package import Dragonfly
package import Logging
package import Redis

/// What all flows of a session share.
package struct FlowContext: Sendable {
    package var task: String
    package var policy: ReplicationPolicy
    package var session: SessionStateMachine.Session
    package var targetDatabases: UInt32
    package var connector: TargetConnector
    /// Where the target is a cluster.
    var cluster: ClusterConnector? { connector.cluster }
    package var incidents: IncidentLog
    package var logger: Logger
    /// By flow number.
    package var allProgress: [FlowProgress]
    package var retry: RetryPolicy
    /// A target that answers nothing for so long is reported as lost.
    package var silenceLimit = Duration.seconds(30)
    package var checkpoint = CheckpointSettings()
    /// The position stays when the session ends: the next one goes on there.
    package var keepsPosition = true
    /// The target's process as the session found it.
    package var targetRunID = ""
    /// The nodes of a cluster remove marks, too, when their memory is full.
    package var targetEvictsMarks = false
    /// Outlives the session.
    package var targetLimits = KnownTargetLimits()
    package var counters = TaskCounters()
    /// Keys to be read at the source; `nil`: none are.
    package var refreshes: RefreshQueue?
    /// `nil`: nobody wants to know.
    package var consumedStreams: ConsumedStreams?

    /// Commands of one transaction at most; those of one record stay together.
    package var batchCommands = Int.max
    package var pacer: CommandPacer?
    /// Where files without a name go; `nil`: nowhere.
    package var directory: String?
    /// Unix time in milliseconds.
    package var clock: @Sendable () -> Int64 = { 0 }

    var checkpointKey: CheckpointKey { CheckpointKey(task: task, prefix: checkpoint.keyPrefix) }
    package var sourceClock = SourceClock()
    /// How far the source's clock is ahead of ours, in milliseconds.
    var clockSkew: Int64 { sourceClock.skew }
    /// A PEXPIREAT of so soon is what a plain GETEX has left in the journal.
    package var expiryMarginMilliseconds = JournalRewriter.expiryMarginMilliseconds

    package var flowCount: Int { session.flowCount }

    /// The keys of a database of the source go to the target.
    func keeps(_ database: UInt32) -> Bool {
        database < targetDatabases && !policy.skippedDatabases.contains(database)
    }

    func progress(_ flow: FlowID) -> FlowProgress { allProgress[flow.index] }
}

/// How long to wait before another attempt: doubling, with jitter, up to a limit.
package struct RetryPolicy: Equatable, Sendable {
    package var initial: Duration
    package var maximum: Duration

    package init(initial: Duration = .milliseconds(200), maximum: Duration = .seconds(10)) {
        self.initial = initial
        self.maximum = maximum
    }

    /// The wait before attempt number `attempt` (from 1), between half of its length and all of it.
    package func wait(before attempt: Int) -> Duration {
        var length = initial
        for _ in 1..<max(attempt, 1) where length < maximum { length = length * 2 }
        return min(length, maximum) * Double.random(in: 0.5...1)
    }
}

extension SessionStateMachine.Session {
    var behaviour: SourceBehaviour { SourceBehaviour(version: version, protocolVersion: protocolVersion) }
}
