import Dispatch
import Dragonfly
import Logging
import Redis

/// The flows of a session: their parts, and which of them are stable, have ended or have lost their target.
@SessionActor
final class SessionFlows {
    private let logger: Logger
    private(set) var appliers: [FlowApplier] = []
    private(set) var progress: [FlowProgress] = []
    private var connections: [FlowConnection] = []
    private(set) var replicationID: String?
    /// How this version of the source writes its journal.
    private(set) var behaviour = SourceBehaviour(version: nil)
    private var stable: Set<FlowID> = []
    private var ended: Set<FlowID> = []
    private var lost: Set<FlowID> = []
    /// The last reported reason why the target does not serve; `nil` if it serves every flow.
    private(set) var targetLoss: String?

    init(logger: Logger) { self.logger = logger }

    // MARK: Opening

    /// Stores the source's answer: there are as many flows as the source has shards.
    func learn(_ session: SessionStateMachine.Session) {
        replicationID = session.replicationID
        behaviour = session.behaviour
        progress = (0..<session.flowCount).map { _ in FlowProgress() }
    }

    /// Adds the next applier. Appliers are added in the order of their flows' numbers.
    func add(_ applier: FlowApplier) { appliers.append(applier) }

    func setConnections(_ connections: [FlowConnection]) { self.connections = connections }

    // MARK: Phases

    subscript(flow: FlowID) -> FlowApplier { appliers[flow.index] }

    var isEmpty: Bool { appliers.isEmpty }

    /// Whether every flow has applied its snapshot, if it had one to apply in this session.
    var areAllStable: Bool { stable.count == appliers.count }

    func markStable(_ flow: FlowID) { stable.insert(flow) }

    /// Whether the source has ended a flow.
    var hasLostFlow: Bool { !ended.isEmpty }

    func markEnded(_ flow: FlowID) { ended.insert(flow) }

    var keys: Int { progress.reduce(0) { $0 + $1.appliedKeys } }
    var records: Int { progress.reduce(0) { $0 + $1.appliedRecords } }

    // MARK: The target

    var isTargetLost: Bool { !lost.isEmpty }

    func isTargetLost(_ flow: FlowID) -> Bool { lost.contains(flow) }

    /// Reports that the target does not serve this flow. Only the first flow causes a warning.
    func reportTargetLost(_ flow: FlowID, _ error: TargetError) {
        let text: Logger.Message = "\(error); what arrives is kept meanwhile"
        if lost.isEmpty {
            logger.warning(text, metadata: ["flow": "\(flow)", "event": "targetLost"])
        } else {
            logger.info(text, metadata: ["flow": "\(flow)"])
        }
        lost.insert(flow)
        targetLoss = "\(error)"
    }

    func reportTargetFound(_ flow: FlowID) {
        if lost.remove(flow) != nil, lost.isEmpty {
            targetLoss = nil
            logger.notice("the target is back", metadata: ["flow": "\(flow)"])
        }
    }

    // MARK: Positions

    /// The position that all flows have applied, as one unit. No flow can be before a global command while another is after
    /// it, because the same loop handles both. `nil` before the stable stream.
    var position: ResumePoint? {
        let nextLSNs = progress.compactMap(\.appliedLSN)
        guard let replicationID, !nextLSNs.isEmpty, nextLSNs.count == appliers.count else { return nil }
        return ResumePoint(replicationID: replicationID, nextLSNs: nextLSNs)
    }

    /// The position after a global command that all flows have reached.
    func positionAfterGlobal() async -> ResumePoint {
        var position = ResumePoint(replicationID: replicationID ?? "", nextLSNs: [])
        for applier in appliers { position.nextLSNs.append(await applier.positionAfterGlobal) }
        return position
    }

    // MARK: Marks at the masters of a cluster

    /// The marks that the flows want to leave at the masters.
    ///
    /// - Parameter position: the flows' position after the write that the marks belong to; `nil` for their current
    ///   positions.
    func nodeMarkings(next position: ResumePoint? = nil) async -> [NodeMarking] {
        var markings: [NodeMarking] = []
        for applier in appliers {
            let marking = await applier.nodeMarking(next: position?.nextLSNs[applier.flow.index])
            if let marking { markings.append(marking) }
        }
        return markings
    }

    /// Leaves new marks at the masters of a cluster after keys were removed there, and makes every flow expect them. Does
    /// nothing if the target is not a cluster.
    ///
    /// - Throws: `TargetError`.
    func markNodes(of task: TaskContext, through control: TargetControl) async throws {
        var failure: (any Error)?
        await whileQuiet { [self] in
            guard let marks = NodeMarking.marks(await nodeMarkings(), task: task.settings.task) else { return }
            do {
                let masters = try await control.leave(marks, notedIn: task.checkpointKey.name)
                for applier in appliers { await applier.nodesMarked(masters) }
            } catch { failure = error }
        }
        if let failure { throw failure }
    }

    // MARK: What the flows know

    /// The databases that the flows have written to.
    func databases() async -> Set<UInt32> {
        var databases: Set<UInt32> = []
        for applier in appliers { databases.formUnion(await applier.databases) }
        return databases
    }

    /// Which flow brings which key, as far as the flows know.
    func placement() async -> KeyPlacement {
        var placements: [KeyPlacement] = []
        for applier in appliers { placements.append(await applier.placement) }
        return KeyPlacement(placements)
    }

    /// Whether the target holds elements whose TTLs it cannot keep itself.
    func haveElementExpiries() async -> Bool {
        for applier in appliers where await applier.hasElementExpiries { return true }
        return false
    }

    /// df2redis' own keys under which values were being built.
    func partialKeys() async -> [(database: UInt32, key: [UInt8])] {
        var keys: [(database: UInt32, key: [UInt8])] = []
        for applier in appliers { keys += await applier.partialKeys }
        return keys
    }

    /// Whether something that was received can still be applied.
    func haveMore() async -> Bool {
        for applier in appliers where await applier.hasMore { return true }
        return false
    }

    var queuedBytes: Int { appliers.reduce(0) { $0 + $1.intake.queuedBytes } }

    var status: [ReplicationStatus.Flow] {
        zip(appliers, progress).map { applier, progress in
            let index = applier.flow.index
            return .init(
                applier.flow, progress, applier.intake,
                acknowledged: index < connections.count ? connections[index].acknowledged : nil)
        }
    }

    /// The queues of the first flow, for a test of the watchdog.
    var firstQueues: (applier: DispatchQueue?, reader: DispatchQueue?) {
        (appliers.first?.queue, connections.first?.queue)
    }

    // MARK: Coming to rest

    /// Runs `body` while no flow has commands on their way to the target.
    func whileQuiet(_ body: @SessionActor () async -> Void) async {
        for applier in appliers { await applier.quiesce() }
        await body()
        for applier in appliers { await applier.release() }
    }

    /// Waits until every flow has applied what it has received, or until `deadline`.
    ///
    /// - Returns: the flows that have applied everything.
    func drain(until deadline: ContinuousClock.Instant) async -> Set<FlowID> {
        await withTaskGroup(of: FlowID?.self) { group in
            for applier in appliers {
                group.addTask {
                    await applier.drain(within: ContinuousClock.now.duration(to: deadline)) ? applier.flow : nil
                }
            }
            var drained: Set<FlowID> = []
            for await flow in group { if let flow { drained.insert(flow) } }
            return drained
        }
    }

    func close() async { for applier in appliers { await applier.close() } }
}
