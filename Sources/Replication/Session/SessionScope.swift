import Dragonfly
import Link
import Redis

/// The state that the parts of one session share: the task, and small objects with one job each.
@SessionActor
struct SessionScope {
    let task: TaskContext
    /// The results of the earlier sessions.
    let history: SessionHistory
    let events = SessionEvents()
    /// The session's own connection to the target for requests outside the flows.
    let control: TargetControl
    let target = KnownTarget()
    let sync = SyncProgress()
    let health = SessionHealth()
    let leaveRequest = LeaveRequest()
    let backgroundTasks = BackgroundTasks()
    let flows: SessionFlows
    let source: SessionSource
    let dataSets: DataSetComparison
    let refreshes: SessionRefresh
    let verifier: SessionVerifier
    let operatorRequests: SessionOperatorRequests
    let streams: SessionStreams
    let retry: TargetRetry

    init(_ task: TaskContext, history: SessionHistory) {
        self.task = task
        self.history = history
        control = task.control()
        flows = SessionFlows(logger: task.logger)
        source = SessionSource(
            settings: task.settings, events: events, backgroundTasks: backgroundTasks, counters: task.counters)
        refreshes = SessionRefresh(task, flows: flows, backgroundTasks: backgroundTasks)
        verifier = SessionVerifier(task, flows: flows, target: target, backgroundTasks: backgroundTasks)
        operatorRequests = SessionOperatorRequests(task, flows: flows, target: target, backgroundTasks: backgroundTasks)
        streams = SessionStreams(task, flows: flows, backgroundTasks: backgroundTasks)
        dataSets = DataSetComparison(checkpointStore: task.checkpointStore, control: control)
        retry = TargetRetry(
            policy: task.settings.retry, logger: task.logger, health: health, leaveRequest: leaveRequest, flows: flows)
    }

    var status: ReplicationStatus {
        let settings = task.settings
        var status = ReplicationStatus(
            phase: sync.phase, source: settings.source.endpoint.description,
            target: settings.target.place)
        status.flows = flows.status
        status.incidents = task.incidents.totals
        status.fullSyncs = history.fullSyncs + (sync.isFullSync && sync.hasBegun ? 1 : 0)
        status.isTargetLost = flows.isTargetLost
        status.targetLoss = flows.targetLoss
        status.session = history.sessions
        status.counters = task.counters.values
        status.refreshes = task.refreshes?.figures
        if task.settings.verifiesPerSecond > 0 { status.verifier = task.verifierRecord.figures }
        let verification = task.operatorRequests.verification
        if verification.number > 0 { status.verification = verification }
        if sync.phase == .connecting { status.detail = sync.step.place }
        return status
    }

    /// Starts the work that reads keys at the source. Called when every flow is in its journal.
    ///
    /// - Parameter own: the databases whose keys all belong to the task.
    func startRefreshing(own: @escaping @SessionActor @Sendable () -> Set<UInt32>) {
        refreshes.start()
        verifier.start(own: own)
        operatorRequests.start(own: own) { [refreshes] in refreshes.wake() }
        streams.start()
    }

    /// Reports that the phase, or the step within it, has changed.
    func reportPhase() { task.notice(.phase(status)) }
}
