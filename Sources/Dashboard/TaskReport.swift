import Base
package import Dragonfly
package import Replication

/// The present state of a task. The notices of its replicator update it; the status file and HTTP read it.
package final class TaskReport: Sendable {
    package let task: TaskDescription
    package let events: EventLog
    private let state = Lock(TaskState())
    private let address = Lock<String?>(nil)
    private let positionSource = Lock<(@Sendable () -> [LSN?])?>(nil)
    private let certificates = Lock<[String: Int64]>([:])
    private let incidentSource = Lock<(@Sendable () -> [IncidentLog.Recent])?>(nil)

    package init(task: TaskDescription, events: EventLog = EventLog()) {
        self.task = task
        self.events = events
    }

    package static func now() -> TaskState.Moment {
        .init(instant: .now, milliseconds: WallClock.milliseconds())
    }

    package func take(_ notice: ReplicatorNotice, at now: TaskState.Moment = TaskReport.now()) {
        state.withLock { $0.take(notice, at: now) }
    }

    package var current: TaskState { state.withLock { $0 } }

    /// The last status; before the first one, the status of a task that connects.
    var status: ReplicationStatus {
        current.status ?? ReplicationStatus(phase: .connecting, source: task.source, target: task.target)
    }

    /// The URL of the page; `nil` if the page is not open.
    package var url: String? {
        get { address.withLock { $0 } }
        set { address.withLock { $0 = newValue } }
    }

    /// When the certificates expire that the task shows to its servers, in Unix seconds, by side.
    package var certificateEnds: [String: Int64] {
        get { certificates.withLock { $0 } }
        set { certificates.withLock { $0 = newValue } }
    }

    /// Sets where to get the last incidents; before that there are none.
    package func setIncidents(_ source: @escaping @Sendable () -> [IncidentLog.Recent]) {
        incidentSource.withLock { $0 = source }
    }

    /// Sets where to get the positions of the flows; before that there are none.
    package func setPositions(_ source: @escaping @Sendable () -> [LSN?]) { positionSource.withLock { $0 = source } }

    /// The next LSN of each flow that the target has not confirmed yet, at this moment.
    var nextLSNs: [LSN?] { positionSource.withLock { $0 }?() ?? [] }

    var incidents: [IncidentLog.Recent] { incidentSource.withLock { $0 }?() ?? [] }

    package func health(at now: TaskState.Moment = TaskReport.now()) -> Health { current.health(at: now.instant) }

    /// What an operator should do although the task is healthy.
    var detail: String? {
        current.status?.refreshes?.obstacle.map { "keys that differ are not read at the source: \($0)" }
    }

    package func readiness(at now: TaskState.Moment = TaskReport.now()) -> Health {
        current.readiness(lagHigh: task.lagHigh, at: now.instant)
    }
}
