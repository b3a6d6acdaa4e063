import Dispatch
import Dragonfly
import Logging
import Redis

/// The flows of a session: what each is made of, and which of them are stable, have ended or have lost their target.
@SessionActor
final class SessionFlows {
    private let logger: Logger
    private(set) var appliers: [FlowApplier] = []
    private(set) var progress: [FlowProgress] = []
    private var connections: [FlowConnection] = []
    private(set) var replicationID: String?
    /// What the source does with what it journals.
    private(set) var behaviour = SourceBehaviour(version: nil)
    private var stable: Set<FlowID> = []
    private var ended: Set<FlowID> = []
    private var lost: Set<FlowID> = []
    /// Why the target does not serve, as it was said last; `nil`: it serves every flow.
    private(set) var targetLoss: String?

    init(logger: Logger) { self.logger = logger }

    // MARK: Opening

    /// The source's answer: as many flows as it has shards.
    func learn(_ session: SessionStateMachine.Session) {
        replicationID = session.replicationID
        behaviour = session.behaviour
        progress = (0..<session.flowCount).map { _ in FlowProgress() }
    }

    /// In the order of their numbers.
    func add(_ applier: FlowApplier) { appliers.append(applier) }

    func setConnections(_ connections: [FlowConnection]) { self.connections = connections }

    // MARK: Phases

    subscript(flow: FlowID) -> FlowApplier { appliers[flow.index] }

    var isEmpty: Bool { appliers.isEmpty }

    /// Every flow has applied its snapshot, if it had one to apply in this session.
    var areAllStable: Bool { stable.count == appliers.count }

    func markStable(_ flow: FlowID) { stable.insert(flow) }

    /// The source has ended a flow.
    var hasLostFlow: Bool { !ended.isEmpty }

    func markEnded(_ flow: FlowID) { ended.insert(flow) }

    var keys: Int { progress.reduce(0) { $0 + $1.appliedKeys } }
    var records: Int { progress.reduce(0) { $0 + $1.appliedRecords } }

    // MARK: The target

    var isTargetLost: Bool { !lost.isEmpty }

    func isTargetLost(_ flow: FlowID) -> Bool { lost.contains(flow) }

    /// The target does not serve this flow: one notice, not one a flow.
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

    /// What all flows have applied, as one unit: no flow is between the two sides of a global command, since those are
    /// handled by the same loop. `nil` before the stable stream.
    var position: ResumePoint? {
        let nextLSNs = progress.compactMap(\.appliedLSN)
        guard let replicationID, !nextLSNs.isEmpty, nextLSNs.count == appliers.count else { return nil }
        return ResumePoint(replicationID: replicationID, nextLSNs: nextLSNs)
    }

    /// All flows are at a global command: their position after it.
    func positionAfterGlobal() async -> ResumePoint {
        var position = ResumePoint(replicationID: replicationID ?? "", nextLSNs: [])
        for applier in appliers { position.nextLSNs.append(await applier.positionAfterGlobal) }
        return position
    }

    // MARK: Marks at the masters of a cluster

    /// - Parameter position: the flows' after what the marks are for; `nil`: as it is.
    func nodeMarkings(next position: ResumePoint? = nil) async -> [NodeMarking] {
        var markings: [NodeMarking] = []
        for applier in appliers {
            let marking = await applier.nodeMarking(next: position?.nextLSNs[applier.flow.index])
            if let marking { markings.append(marking) }
        }
        return markings
    }

    /// Keys have been removed at the masters of a cluster: has every flow expect a mark of each after that. Nothing where the
    /// target is no cluster.
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

    /// Databases that they have written to.
    func databases() async -> Set<UInt32> {
        var databases: Set<UInt32> = []
        for applier in appliers { databases.formUnion(await applier.databases) }
        return databases
    }

    /// Which flow a key comes by, as far as they know.
    func placement() async -> KeyPlacement {
        var evidence: [(isByKey: Bool, isByTag: Bool)] = []
        for applier in appliers { evidence.append(await applier.placementEvidence) }
        return KeyPlacement(evidence)
    }

    /// The target holds elements whose TTLs it cannot keep.
    func haveElementExpiries() async -> Bool {
        for applier in appliers where await applier.hasElementExpiries { return true }
        return false
    }

    /// Keys of our own under which values were being built.
    func partialKeys() async -> [(database: UInt32, key: [UInt8])] {
        var keys: [(database: UInt32, key: [UInt8])] = []
        for applier in appliers { keys += await applier.partialKeys }
        return keys
    }

    /// Something received can still be applied.
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

    /// For a test of the watchdog: the first flow's queues.
    var firstQueues: (applier: DispatchQueue?, reader: DispatchQueue?) {
        (appliers.first?.queue, connections.first?.queue)
    }

    // MARK: Coming to rest

    /// Runs `body` while nothing of any flow is on its way to the target.
    func whileQuiet(_ body: @SessionActor () async -> Void) async {
        for applier in appliers { await applier.quiesce() }
        await body()
        for applier in appliers { await applier.release() }
    }

    /// Waits until every flow has applied what it has received, or until `deadline`.
    ///
    /// - Returns: the flows that have.
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
