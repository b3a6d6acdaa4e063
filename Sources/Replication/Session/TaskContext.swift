import Base
import Logging
import Redis

/// The parts that belong to a task and outlive each of its sessions.
struct TaskContext: Sendable {
    let settings: ReplicatorSettings
    let logger: Logger
    let notice: @Sendable (ReplicatorNotice) -> Void
    let incidents: IncidentLog
    let checkpointKey: CheckpointKey
    let registry: TaskRegistry
    let lease: TaskLease
    let checkpointStore: CheckpointStore
    let targetWatch: TargetWatch
    let targetLimits = KnownTargetLimits()
    let counters = TaskCounters()
    let positions = LivePositions()
    /// `nil` if no keys are read at the source beside the stream.
    let refreshes: RefreshQueue?
    let verifierRecord = VerifierRecord()
    let operatorRequests: OperatorRequests

    /// - Parameter settings: without the owner record of the target's connections, which the initializer adds for this
    ///   process.
    init(
        settings: ReplicatorSettings, logger: Logger, notice: @escaping @Sendable (ReplicatorNotice) -> Void
    ) {
        let key = CheckpointKey(task: settings.task, prefix: settings.checkpoint.keyPrefix)
        let record = OwnershipRecord(
            checkpoint: key.name, text: ProcessIdentity.current.text, isInCluster: settings.target.cluster != nil)
        var settings = settings
        settings.target.owner = record
        settings.target.clusterNodes = settings.target.cluster == nil ? nil : ClusterNodes()
        settings.target.locator = settings.target.sentinel.map { SentinelLocator($0, logger: logger) }
        self.settings = settings
        self.logger = logger
        self.notice = notice
        incidents = IncidentLog(
            logger: logger, path: settings.stateDirectory.map { "\($0)/\(settings.task).dead-letters.jsonl" })
        checkpointKey = key
        refreshes =
            settings.mode == .replicate && settings.refreshesPerSecond > 0
            ? RefreshQueue(
                path: settings.stateDirectory.map { "\($0)/\(settings.task).refresh" },
                historyPath: settings.stateDirectory.map { "\($0)/\(settings.task).refreshed" }, logger: logger) : nil
        operatorRequests = OperatorRequests(settings, queue: refreshes, incidents: incidents)
        registry = TaskRegistry(checkpoint: key.name)
        lease = TaskLease(
            settings: settings.target, record: record, registry: registry, checkpoint: key.name,
            keyPrefix: settings.checkpoint.keyPrefix, logger: logger)
        checkpointStore = CheckpointStore(
            task: settings.task, settings: settings.checkpoint, registry: registry, logger: logger)
        targetWatch = TargetWatch(connector: TargetConnector(settings: settings.target), key: key)
    }

    /// A connection to the target for requests outside the flows, named after its role.
    func control(role: String = "control") -> TargetControl {
        TargetControl(connector: TargetConnector(settings: settings.target), role: role)
    }
}
