import Dispatch
import Dragonfly
import Link
import Logging
import Redis
import Wire

/// A cluster as a flow's target.
///
/// | task | type |
/// |---|---|
/// | splitting a batch by slot | `BatchSplitter` |
/// | a command over several slots | `CrossSlotCommand` |
/// | work in slots, wherever they are | `SlotRunner`, `SlotWork` |
/// | connections | `NodePool`, `NodeLink` |
/// | reading before anything is written | `ClusterTargetOpening` |
/// | a node without the last writes | `NodeWatch`, `FlowRollback` |
/// | removals at the end | `ClusterCleanup` |
///
/// The flow's position advances once every node has confirmed the batch. If a connection is lost, the target itself
/// finds out what became of the parts that were in flight, so it reports a loss only for commands that cannot be sent again.
final class ClusterTarget: FlowTarget, @unchecked Sendable {  // confined to the queue of its flow; tasks hop back to it
    private struct Run {
        let batch: CommandBatch
        var steps: ArraySlice<BatchStep>
        var unexpectedReplies: [UnexpectedReply] = []
        /// Work that follows once the position is stored.
        var cleanups: [SlotWork] = []
    }

    private let flow: FlowID
    private let context: FlowContext
    private let cluster: ClusterConnector
    private let queue: DispatchQueue
    private let resumesAt: LSN?
    private let splitter: BatchSplitter
    private let cleanup: ClusterCleanup
    private var runner: SlotRunner?
    private var waiter: WorkWaiter?
    /// What was expected of the nodes when the target was closed.
    private var keptWatch = NodeWatch()
    private var marking: NodeMarking?
    /// Whether nodes that are already connected must be asked for the marks that are expected of them now.
    private var mustAskNodes = false
    private var marks = SlotMarks()
    private var stamp: FlowStamp
    /// The flow's position before the batch on its way.
    private var position: FlowPosition?
    private var lastCrossing: CrossingNote?
    /// Whether the checkpoint holds `lastCrossing`.
    private var isCrossingStored = true
    /// Whether a killed process may have left values under temporary names.
    private var mayHaveTemporaries = false
    private var hasOpened = false
    private var run: Run?
    private var long: LongCommand?
    private var failing: Task<Void, Never>?
    private static let retiringLimit = Duration.seconds(2)
    private static let openingPatience = Duration.seconds(5)
    /// The runners of earlier connections.
    private var closed: [SlotRunner] = []
    var onEvent: (FlowTargetEvent) -> Void = { _ in }

    /// - Parameters:
    ///   - resumesAt: the LSN at which a continued flow begins; `nil` for a full sync.
    ///   - queue: the queue of the flow.
    init(_ flow: FlowID, context: FlowContext, cluster: ClusterConnector, resumesAt: LSN?, queue: DispatchQueue) {
        (self.flow, self.context, self.cluster, self.queue) = (flow, context, cluster, queue)
        self.resumesAt = resumesAt
        position = resumesAt.map { FlowPosition(lsn: $0.value) }
        splitter = BatchSplitter(task: context.task, flow: flow.index, replicationID: context.session.replicationID)
        cleanup = ClusterCleanup(flow, context)
        stamp = FlowStamp(epoch: UInt64(max(context.clock(), 1)), number: 0)
    }

    // MARK: Opening

    func open(isolation: isolated (any Actor)? = #isolation) async throws -> FlowTargetFinding {
        close()
        let view = try await cluster.current()
        let runner = SlotRunner(
            flow, context: context, cluster: cluster, view: view, queue: queue,
            nodeMark: { [unowned self] in nodeMark() },
            onReport: { [weak self] in self?.report($0) })
        let waiter = WorkWaiter(runner, queue: queue)
        (self.runner, self.waiter) = (runner, waiter)
        let opening = ClusterTargetOpening(flow: flow, context: context, waiter: waiter)
        let checkpoint = try await opening.readCheckpoint()
        if let checkpoint { adopt(checkpoint, runner) }
        try await checkNodes(runner, waiter)
        if resumesAt != nil {
            if !hasOpened { try await checkOrigins(opening, runner) }
            adoptMarks(try await opening.readMarks(cleanup.slotField))
        }
        mayHaveTemporaries = resumesAt == nil || lastCrossing != nil
        if mayHaveTemporaries, !marks.areRelevant {
            // A full sync needs none of the marks that earlier processes have left. After the first opening, the marks are
            // this session's own.
            let removesMarks = resumesAt == nil && checkpoint?.hasPredecessor == true && !hasOpened
            _ = try await waiter.run(temporariesToRemove(removesMarks: removesMarks))
        }
        hasOpened = true
        runner.watchesNodes = true
        return checkpoint?.finding ?? FlowTargetFinding(runID: context.targetRunID)
    }

    private func adopt(_ checkpoint: ClusterTargetOpening.Checkpoint, _ runner: SlotRunner) {
        if hasOpened { runner.watch = keptWatch } else if resumesAt != nil { runner.watch = checkpoint.watch }
        if resumesAt != nil { (lastCrossing, isCrossingStored) = (checkpoint.lastCrossing, true) }
        stamp.epoch = max(stamp.epoch, max(checkpoint.watch.lastEpoch, runner.watch.lastEpoch) + 1)
        if resumesAt == nil, !hasOpened { runner.watch.fullSyncBegins(at: stamp) }
    }

    private func adoptMarks(_ found: [(slot: KeySlot, mark: SlotMark)]) {
        for (slot, mark) in found {
            stamp.epoch = max(stamp.epoch, mark.stamp.epoch + 1)
            marks.found(mark, in: slot, replicationID: context.session.replicationID)
        }
        if let position { marks.passed(position) }
    }

    /// Checks that each node has everything that an earlier process had confirmed there.
    ///
    /// - Throws: the error to stop with if a node lacks something; `TargetError`.
    private func checkNodes(
        _ runner: SlotRunner, _ waiter: WorkWaiter, isolation: isolated (any Actor)? = #isolation
    ) async throws {
        mustAskNodes = false
        guard let inquiry = NodeInquiry(runner.watch, cleanup.nodeField) else { return }
        _ = try await waiter.run(inquiry.work)
        guard let rollback = rollback(after: inquiry, runner) else { return }
        runner.watch = rollback.watch
        throw await cluster.store(rollback, of: flow, at: context.checkpointKey)
    }

    /// Checks that no node has been through more than the checkpoint knows, not even a node without an expected mark.
    private func checkOrigins(
        _ opening: ClusterTargetOpening, _ runner: SlotRunner, isolation: isolated (any Actor)? = #isolation
    ) async throws {
        let found = try await opening.readMarks(cleanup.nodeField).first { runner.watch.isAhead($0.mark) }
        guard let found else { return }
        let rollback = FlowRollback(.ahead, in: found.slot, at: "the node of slot \(found.slot)", from: start)
        throw await cluster.store(rollback, of: flow, at: context.checkpointKey)
    }

    /// - Returns: `nil` if no node lacks anything.
    private func rollback(after inquiry: NodeInquiry, _ runner: SlotRunner) -> FlowRollback? {
        inquiry.gap(runner.watch, in: runner.view.topology).map { slot, verdict in
            FlowRollback(verdict, in: slot, at: "the node of slot \(slot)", from: start)
        }
    }

    private func temporariesToRemove(removesMarks: Bool = false) -> SlotWork {
        mayHaveTemporaries = false
        // A full sync finds temporary keys in other databases (`ElementsInCluster.forget`).
        return cleanup.temporaries(in: lastCrossing?.databases ?? [0], removesMarks: removesMarks)
    }

    // MARK: Batches

    var isIdle: Bool { runner?.isIdle == true && run == nil && long == nil }

    var silence: Duration { runner?.silence ?? .zero }
    var silentNode: Endpoint? { runner?.silentNode }

    func deliver(_ batch: CommandBatch) {
        guard runner != nil else { return }
        position = batch.progress.nextLSN.map { FlowPosition(lsn: $0 - UInt64(batch.progress.records)) } ?? position
        if mustAskNodes { return askNodes(before: batch) }
        guard batch.isSealed else { return begin(batch) }
        let masters = runner?.view.topology.shards.compactMap { shard in
            shard.slots.map(\.lowerBound).min().map { KeySlot($0) }
        }
        let steps = splitter.steps(of: batch, masters: masters ?? [], marks: marks) { nextStamp() }
        run = Run(batch: batch, steps: steps[...])
        proceed()
    }

    /// Asks the nodes for their marks before `batch` is sent. A master may have been replaced just before its mark was
    /// expected, while its successor was already connected.
    private func askNodes(before batch: CommandBatch) {
        mustAskNodes = false
        guard let runner, let inquiry = NodeInquiry(runner.watch, cleanup.nodeField) else { return deliver(batch) }
        run = Run(batch: batch, steps: [])
        runner.run(inquiry.work) { [weak self] work in
            guard let self, run != nil, let runner = self.runner else { return }
            run = nil
            if let failure = work.failure { return fail(ReplicationError(failure, flow: flow)) }
            if let rollback = rollback(after: inquiry, runner) { return perform(rollback) }
            deliver(batch)
        }
    }

    private func nextStamp() -> FlowStamp {
        stamp.number += 1
        return stamp
    }

    private func nodeMark() -> SlotMark {
        SlotMark(
            replicationID: context.session.replicationID, position: position, stamp: nextStamp(),
            origin: (runner?.watch ?? keptWatch).origin)
    }

    private func proceed() {
        guard let step = run?.steps.first else { return storePosition() }
        switch step {
        case .slots(let work):
            run?.steps.removeFirst()
            perform(work) { [weak self] _ in self?.proceed() }
        case .crossing(let command):
            if command.isPartlyApplied { return giveUp(command) }
            // From here on the command cannot be repeated in every slot.
            if let lsn = command.lsn, let note = lastCrossing.noting(lsn, in: command.database) {
                (lastCrossing, isCrossingStored) = (note, false)
            }
            command.limits = context.targetLimits.limits
            guard let work = command.next(stamp: { nextStamp() }) else {
                run?.steps.removeFirst()
                if let refusal = command.refusal { run?.unexpectedReplies.append(refusal) }
                if let cleanup = command.cleanup() { run?.cleanups.append(cleanup) }
                return proceed()
            }
            perform(work) { [weak self] in
                command.finished($0)
                self?.proceed()
            }
        }
    }

    private func perform(_ work: SlotWork, then: @escaping (SlotWork) -> Void) {
        runner?.run(work) { [weak self] work in
            guard let self, run != nil else { return }
            if let failure = work.failure { return fail(ReplicationError(failure, flow: flow)) }
            for slot in work.markedSlots { marks.wrote(in: slot) }
            run?.unexpectedReplies += work.unexpectedReplies
            if work.isForbidden { return cutShort() }
            then(work)
        }
    }

    /// Ends the batch because the target's user lacks an ACL right. Once the right is added, the task continues here. So
    /// nothing more may be written in any slot: its mark would count the commands that were left out as applied.
    private func cutShort() {
        guard let run else { return }
        self.run = nil
        onEvent(.completed(run.batch, .cutShort(run.unexpectedReplies)))
    }

    /// Stores the position, after everything else in the batch is done.
    private func storePosition() {
        guard let run else { return }
        if let lsn = run.batch.progress.nextLSN {
            position = FlowPosition(lsn: lsn)
            marks.passed(FlowPosition(lsn: lsn))
        }
        guard let value = run.batch.checkpointValue else { return complete() }
        let key = context.checkpointKey.name.bytes
        var fields = [context.checkpointKey.field(flow).bytes, value]
        fields += [ClusterFields.nodes(flow), runner?.watch.text ?? ""].map(\.bytes)
        fields += [context.checkpointKey.outOfStreamField(flow), "\(run.batch.progress.outOfStreamCount)"].map(\.bytes)
        if let crossing = lastCrossing, !isCrossingStored {
            fields += [ClusterFields.crossing(flow), crossing.text].map(\.bytes)
        }
        let work = SlotWork.maintenance()
        work.append(["HSET".bytes, key] + fields, to: work.addPart(KeySlot(of: key)), mayRepeat: true)
        perform(work) { [weak self] _ in
            self?.isCrossingStored = true
            self?.cleanUp()
        }
    }

    private func cleanUp() {
        if mayHaveTemporaries, !marks.areRelevant { run?.cleanups = [temporariesToRemove()] }
        guard let cleanup = run?.cleanups.popLast() else { return complete() }
        perform(cleanup) { [weak self] _ in self?.cleanUp() }
    }

    private func complete() {
        guard let run else { return }
        self.run = nil
        onEvent(.completed(run.batch, .applied(run.unexpectedReplies.sorted { $0.command < $1.command })))
    }

    // MARK: A command that is sent while it is being built

    private func begin(_ batch: CommandBatch) {
        let mark = SlotMark(
            replicationID: context.session.replicationID, position: nil, stamp: nextStamp())
        long = LongCommand(batch, SlotWork(of: batch, leaving: mark, in: cleanup.slotField))
        guard let long else {
            return onEvent(.lost(TargetError(.protocolViolation, "a value in pieces was begun in the middle")))
        }
        runner?.run(long) { [weak self] in
            self?.ended(long, $0)
        } onRoom: { [weak self] in
            self?.onEvent(.hasRoom)
        }
    }

    func batchGrew() { runner?.longGrew() }

    private func ended(_ long: LongCommand, _ error: TargetError?) {
        guard self.long === long else { return }
        self.long = nil
        if let error = error ?? long.work.failure { return onEvent(.lost(error)) }
        marks.wrote(in: long.slot)
        run = Run(batch: long.batch, steps: [], unexpectedReplies: long.work.unexpectedReplies)
        if long.work.isForbidden { return cutShort() }
        storePosition()
    }

    // MARK: Failures

    private func report(_ report: SlotRunner.Report) {
        switch report {
        case .unavailable(let error):
            if run != nil { onEvent(.unavailable(error)) } else { noteWhileOpening(error) }
        case .available: onEvent(.available)
        case .failed(let error):
            if let waiter, waiter.isWaiting { return waiter.end(.failure(error)) }
            fail(ReplicationError(error, flow: flow))
        case .refused(let bytes, let words): giveUp(argumentBytes: bytes, words)
        case .incomplete(let endpoint, let slot, let verdict):
            perform(FlowRollback(verdict, in: slot, at: "\(endpoint)", from: start))
        }
    }

    /// Ends the session, because parts that other slots have applied are not sent again in this session. The next session
    /// continues at the position and knows by its size which argument it must not send.
    private func giveUp(argumentBytes bytes: Int, _ words: String) {
        if words.contains("invalid bulk length") { context.targetLimits.refused(argumentBytes: bytes) }
        runner?.close()
        fail(
            ReplicationError(
                .targetChanged, flow: flow,
                "the target ends each connection at an argument of \(bytes) bytes, as beyond proto-max-bulk-len (\(words))"
            ))
    }

    /// Takes the flow back to an earlier position, because the home slot has lost the intermediate result of a command
    /// over several slots.
    private func giveUp(_ command: CrossSlotCommand) {
        let reason = "the node of slot \(command.home) has lost what a command over several slots had made"
        perform(FlowRollback(.doubtful, in: command.home, because: reason, from: start))
    }

    private var start: FlowRollback.Start {
        .init(
            session: context.session, position: position, lastCrossing: lastCrossing,
            watch: runner?.watch ?? NodeWatch())
    }

    private func perform(_ rollback: FlowRollback) {
        runner?.watch = rollback.watch
        guard failing == nil else { return }
        runner?.close()
        failing = Task { [flow, cluster, queue, key = context.checkpointKey] in
            let error = await cluster.store(rollback, of: flow, at: key)
            queue.async { self.fail(error) }
        }
    }

    /// Ends an opening that has waited longer than a failover may take. The caller then decides how long to retry.
    private func noteWhileOpening(_ error: TargetError) {
        guard let waiter, let begin = waiter.waitsSince, begin.duration(to: .now) > Self.openingPatience else { return }
        waiter.end(.failure(error))
    }

    private func fail(_ error: ReplicationError) {
        if let waiter, waiter.isWaiting { return waiter.end(.failure(error)) }
        (run, long) = (nil, nil)
        onEvent(.failed(error))
    }

    func hasFoundNodesComplete(isolation: isolated (any Actor)? = #isolation) async -> Bool {
        guard let view = try? await cluster.current() else { return false }
        return runner?.hasFoundNodesComplete(in: view) ?? false
    }

    // MARK: The end

    func globalCommandDone(next: LSN) {
        marks.removeAll()
        position = FlowPosition(lsn: next.value)
    }

    func nodeMarking(next: LSN?) -> NodeMarking? {
        var mark = nodeMark()
        if let next { mark.position = FlowPosition(lsn: next.value) }
        marking = NodeMarking(flow, mark, runner?.watch ?? keptWatch)
        return marking
    }

    func nodesMarked(_ masters: [MarkedMaster]) {
        guard let marking else { return }
        let watch = marking.watch(after: masters)
        if let runner { runner.watch = watch } else { keptWatch = watch }
        (self.marking, mustAskNodes) = (nil, true)
    }

    func retire(isolation: isolated (any Actor)? = #isolation) async {
        // Marks ahead of the position tell the next session which commands it must not repeat.
        guard isIdle, !marks.areRelevant, let waiter, let watch = runner?.watch else { return }
        // The next session needs the nodes' marks to notice a node that has come back without confirmed writes.
        let nodes = context.keepsPosition ? watch.obsoleteSlots : watch.markedSlots
        guard !(watch.markedSlots.isEmpty && marks.slots.isEmpty) else { return }
        let removal = cleanup.marks(ofNodes: nodes, ofSlots: marks.slots.sorted())
        if context.keepsPosition { runner?.watch.slotMarksGo(at: nextStamp()) }
        // The expectations must be removed before the marks. Every node must also learn that the marks are removed, in
        // case the checkpoint returns in an older state.
        let notes = cleanup.notes(expecting: context.keepsPosition ? runner?.watch : nil)
        let nodeMarks = cleanup.nodeMarks(in: context.keepsPosition ? watch.expectedSlots : []) { nodeMark() }
        for work in [notes, nodeMarks, removal] where !work.isEmpty {
            guard (try? await waiter.run(work, within: Self.retiringLimit)) != nil else { return }
        }
        marks.removeAll()
        if context.keepsPosition { runner?.watch.forgetObsolete() } else { runner?.watch.forget() }
    }

    func close() {
        if let runner {
            runner.close()
            keptWatch = runner.watch
            closed.append(runner)
        }
        runner = nil
        (run, long) = (nil, nil)
        waiter?.close()
        waiter = nil
    }

    func join(isolation: isolated (any Actor)? = #isolation) async {
        failing?.cancel()
        await failing?.value
        for runner in closed { await runner.join() }
        closed = []
    }
}
