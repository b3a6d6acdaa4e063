import Dispatch
import Dragonfly
import Link
import Logging
import Redis
import Wire

/// A cluster as a flow's target.
///
/// | what | who |
/// |---|---|
/// | a batch by slot | `BatchSplitter` |
/// | a command over several slots | `CrossSlotCommand` |
/// | what is done in slots, wherever they are | `SlotRunner`, `SlotWork` |
/// | connections | `NodePool`, `NodeLink` |
/// | a node without the last writes | `NodeWatch` |
///
/// The flow's position moves on when every node has confirmed the batch. In-doubt parts it resolves by itself, so it reports a
/// loss only of what cannot be sent again.
final class ClusterTarget: FlowTarget, @unchecked Sendable {  // confined to the queue of its flow; tasks hop back to it
    private struct Run {
        let batch: CommandBatch
        var steps: ArraySlice<BatchStep>
        var irregularities: [BatchOutcome.Irregularity] = []
        /// What is removed once the position is stored.
        var rubbish: [SlotWork] = []
    }

    private let flow: FlowID
    private let context: FlowContext
    private let cluster: ClusterConnector
    private let queue: DispatchQueue
    private let resumesAt: LSN?
    private let splitter: BatchSplitter
    private let slotField: MarkField
    private let nodeField: MarkField
    private var runner: SlotRunner?
    /// What was expected of the nodes when the target was closed.
    private var keptWatch = NodeWatch()
    private var marking: NodeMarking?
    /// Nodes that were connected to before have not been asked for what is expected of them by now.
    private var mustAskNodes = false
    private var marks = SlotMarks()
    private var stamp: FlowStamp
    /// Before the batch on its way.
    private var position: FlowPosition?
    private var lastCrossing: CrossingNote?
    /// The checkpoint says so.
    private var isCrossingStored = true
    /// A process that was killed may have left values under temporary names.
    private var mayHaveTemporaries = false
    private var hasOpened = false
    /// An earlier process has left fields of the flow, and marks perhaps.
    private var hasPredecessor = false
    private var run: Run?
    private var long: LongCommand?
    private var failing: Task<Void, Never>?
    /// A work that somebody waits for, and how many there were.
    private var opening:
        (number: Int, continuation: CheckedContinuation<SlotWork, any Error>, began: ContinuousClock.Instant)?
    private var works = 0
    private static let retiringLimit = Duration.seconds(2)
    private static let openingPatience = Duration.seconds(5)
    /// Replaced by a later `open`, or closed.
    private var generation = 0
    var onEvent: (FlowTargetEvent) -> Void = { _ in }

    /// - Parameters:
    ///   - resumesAt: where a continued flow begins; `nil` for a full sync.
    ///   - queue: of the flow.
    init(_ flow: FlowID, context: FlowContext, cluster: ClusterConnector, resumesAt: LSN?, queue: DispatchQueue) {
        (self.flow, self.context, self.cluster, self.queue) = (flow, context, cluster, queue)
        self.resumesAt = resumesAt
        position = resumesAt.map { FlowPosition(lsn: $0.value) }
        splitter = BatchSplitter(task: context.task, flow: flow.index, replicationID: context.session.replicationID)
        slotField = .ofSlots(task: context.task, flow: flow.index)
        nodeField = .ofNodes(task: context.task, flow: flow.index)
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
        self.runner = runner
        let finding = try await readCheckpoint()
        try await checkNodes()
        if resumesAt != nil { try await readMarks() }
        mayHaveTemporaries = resumesAt == nil || lastCrossing != nil
        if mayHaveTemporaries, !marks.areRelevant {
            // Later on the marks are this session's own.
            _ = try await done(temporariesToRemove(marks: resumesAt == nil && hasPredecessor && !hasOpened))
        }
        hasOpened = true
        runner.looksAfterNodes = true
        return finding
    }

    private func readCheckpoint(isolation: isolated (any Actor)? = #isolation) async throws -> FlowTargetFinding {
        guard context.checkpoint.store == .target else { return FlowTargetFinding(runID: context.targetRunID) }
        let (key, field) = (Array(context.checkpointKey.name.utf8), context.checkpointKey.field(flow))
        let beside = context.checkpointKey.besideField(flow)
        let work = SlotWork.inquiry(in: [KeySlot(of: key)]) { _ in
            [Array("HMGET".utf8), key]
                + [field, ClusterFields.nodes(flow), ClusterFields.crossing(flow), beside].map { Array($0.utf8) }
        }
        let fields = try await done(work).values[0]?.array?.map(\.text) ?? []
        guard fields.count == 4 else { return FlowTargetFinding(runID: context.targetRunID) }
        hasPredecessor = fields.contains { $0 != nil }
        let earlier = NodeWatch(text: fields[1] ?? "")
        if hasOpened { runner?.watch = keptWatch } else if resumesAt != nil { runner?.watch = earlier }
        if resumesAt != nil {
            lastCrossing = fields[2].flatMap { $0 }.flatMap { CrossingNote(text: $0) }
            isCrossingStored = true
        }
        stamp.epoch = max(stamp.epoch, max(earlier.lastEpoch, runner?.watch.lastEpoch ?? 0) + 1)
        if resumesAt == nil, !hasOpened { runner?.watch.fullSyncBegins(at: stamp) }
        return FlowTargetFinding(
            runID: context.targetRunID, checkpoint: fields[0], beside: CheckpointKey.beside(fields[3]))
    }

    /// Each node has all of what an earlier process had confirmed there.
    private func checkNodes(isolation: isolated (any Actor)? = #isolation) async throws {
        mustAskNodes = false
        guard let slots = runner?.watch.expectedSlots, !slots.isEmpty else { return }
        let question = SlotWork.inquiry(in: slots, nodeField.question)
        if let retreat = retreat(after: try await done(question), about: slots) {
            throw await Self.store(retreat, flow, at: context.checkpointKey, of: cluster)
        }
    }

    /// - Returns: `nil` when no node lacks anything.
    private func retreat(after answers: SlotWork, about slots: [KeySlot]) -> Retreat? {
        guard let runner else { return nil }
        for (place, slot) in slots.enumerated() {
            let mark = answers.values[place]?.text.flatMap { SlotMark($0) }
            let verdict = runner.watch.check(mark, in: slot, of: runner.view.topology)
            if verdict != .complete { return retreat(verdict, in: slot, at: "the node of slot \(slot)") }
        }
        return nil
    }

    private func readMarks(isolation: isolated (any Actor)? = #isolation) async throws {
        let work = try await done(SlotWork.inquiry(in: KeySlot.all, slotField.question))
        for (place, slot) in KeySlot.all.enumerated() {
            let mark = work.values[place]?.text.flatMap { SlotMark($0) }
            if let mark { stamp.epoch = max(stamp.epoch, mark.stamp.epoch + 1) }
            marks.found(mark, in: slot, replicationID: context.session.replicationID)
        }
        if let position { marks.passed(position) }
    }

    /// - Parameter marks: of the flow, too: a full sync needs none of those that earlier processes have left.
    private func temporariesToRemove(marks removesMarks: Bool = false) -> SlotWork {
        mayHaveTemporaries = false
        let work = SlotWork.maintenance()
        // A full sync finds those in other databases (`ElementsInCluster.forget`).
        let databases = lastCrossing?.databases ?? [0]
        for slot in KeySlot.all {
            let names = (0..<2).map { SlotMark.temporaryKey(task: context.task, flow: flow.index, number: $0) }
            let part = work.addPart(slot)
            for database in databases.sorted() {
                // One by one: no node removes both while the slot is open between two of them.
                for name in names {
                    work.append(
                        [Array("UNLINK".utf8), SlotTag.key(name, in: slot)], to: part, database: database,
                        mayRepeat: true)
                }
            }
            guard removesMarks else { continue }
            for field in [slotField, nodeField] {
                work.append(field.removal(in: slot), to: work.addPart(slot), mayRepeat: true)
            }
        }
        work.endDatabases()
        return work
    }

    /// - Parameter limit: how long the cluster may take.
    /// - Throws: `TargetError`, when it has failed, or the target was closed meanwhile.
    private func done(
        _ work: SlotWork, within limit: Duration = .seconds(30), isolation: isolated (any Actor)? = #isolation
    ) async throws -> SlotWork {
        let generation = generation
        let work = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<SlotWork, any Error>) in
            guard let runner, generation == self.generation else {
                return continuation.resume(throwing: TargetError(.unreachable, "the target was closed"))
            }
            works += 1
            opening = (works, continuation, .now)
            runner.run(work) { [weak self] in self?.opened(.success($0)) }
            queue.asyncAfter(deadline: .now() + limit.secondsAsDouble) { [weak self, works] in
                guard let self, opening?.number == works else { return }
                let obstacle = work.obstacle.map { ": \($0)" } ?? ""
                opened(.failure(TargetError(.unreachable, "the cluster does not answer within \(limit)\(obstacle)")))
            }
        }
        if let failure = work.failure { throw failure }
        return work
    }

    private func opened(_ result: Result<SlotWork, any Error>) {
        let continuation = opening?.continuation
        opening = nil
        continuation?.resume(with: result)
    }

    // MARK: Batches

    var isIdle: Bool { runner?.isIdle == true && run == nil && long == nil }

    var silence: Duration { runner?.silence ?? .zero }

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

    /// A master may have been replaced just before its mark was expected, and be connected to.
    private func askNodes(before batch: CommandBatch) {
        mustAskNodes = false
        guard let runner, case let slots = runner.watch.expectedSlots, !slots.isEmpty else { return deliver(batch) }
        run = Run(batch: batch, steps: [])
        runner.run(SlotWork.inquiry(in: slots, nodeField.question)) { [weak self] work in
            guard let self, run != nil else { return }
            run = nil
            if let failure = work.failure { return fail(ReplicationError(failure, flow: flow)) }
            if let retreat = retreat(after: work, about: slots) { return perform(retreat) }
            deliver(batch)
        }
    }

    private func nextStamp() -> FlowStamp {
        stamp.number += 1
        return stamp
    }

    private func nodeMark() -> SlotMark {
        SlotMark(replicationID: context.session.replicationID, position: position, stamp: nextStamp())
    }

    private func proceed() {
        guard let step = run?.steps.first else { return storePosition() }
        switch step {
        case .slots(let work):
            run?.steps.removeFirst()
            perform(work) { [weak self] _ in self?.proceed() }
        case .crossing(let command):
            if command.isTorn { return giveUp(command) }
            // From here on it cannot be done a second time everywhere.
            if let lsn = command.lsn, let note = lastCrossing.noting(lsn, in: command.database) {
                (lastCrossing, isCrossingStored) = (note, false)
            }
            command.limits = context.targetLimits.limits
            guard let work = command.next(stamp: { nextStamp() }) else {
                run?.steps.removeFirst()
                if let refusal = command.refusal { run?.irregularities.append(refusal) }
                if let rubbish = command.tidy() { run?.rubbish.append(rubbish) }
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
            run?.irregularities += work.irregularities
            if work.isForbidden { return cutShort() }
            then(work)
        }
    }

    /// A right is missing. With it added the task goes on here: so nothing follows in any slot, whose mark would then count
    /// what has been left out as applied.
    private func cutShort() {
        guard let run else { return }
        self.run = nil
        onEvent(.completed(run.batch, .cutShort(run.irregularities)))
    }

    /// All of the batch is done but its position.
    private func storePosition() {
        guard let run else { return }
        if let lsn = run.batch.progress.nextLSN {
            position = FlowPosition(lsn: lsn)
            marks.passed(FlowPosition(lsn: lsn))
        }
        guard let value = run.batch.checkpointValue else { return complete() }
        let key = Array(context.checkpointKey.name.utf8)
        var fields = [Array(context.checkpointKey.field(flow).utf8), value]
        fields += [ClusterFields.nodes(flow), runner?.watch.text ?? ""].map { Array($0.utf8) }
        fields += [context.checkpointKey.besideField(flow), "\(run.batch.progress.beside)"].map { Array($0.utf8) }
        if let crossing = lastCrossing, !isCrossingStored {
            fields += [ClusterFields.crossing(flow), crossing.text].map { Array($0.utf8) }
        }
        let work = SlotWork.maintenance()
        work.append([Array("HSET".utf8), key] + fields, to: work.addPart(KeySlot(of: key)), mayRepeat: true)
        perform(work) { [weak self] _ in
            self?.isCrossingStored = true
            self?.tidy()
        }
    }

    private func tidy() {
        if mayHaveTemporaries, !marks.areRelevant { run?.rubbish = [temporariesToRemove()] }
        guard let rubbish = run?.rubbish.popLast() else { return complete() }
        perform(rubbish) { [weak self] _ in self?.tidy() }
    }

    private func complete() {
        guard let run else { return }
        self.run = nil
        onEvent(.completed(run.batch, .applied(run.irregularities.sorted { $0.command < $1.command })))
    }

    // MARK: A command that is sent while it is being built

    private func begin(_ batch: CommandBatch) {
        let mark = SlotMark(
            replicationID: context.session.replicationID, position: nil, stamp: nextStamp())
        long = LongCommand(batch, SlotWork(of: batch, leaving: mark, in: slotField))
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
        run = Run(batch: long.batch, steps: [], irregularities: long.work.irregularities)
        if long.work.isForbidden { return cutShort() }
        storePosition()
    }

    // MARK: What goes wrong

    private func report(_ report: SlotRunner.Report) {
        switch report {
        case .away(let error): if run != nil { onEvent(.away(error)) } else { noteWhileOpening(error) }
        case .back: onEvent(.back)
        case .failed(let error):
            if opening != nil { return opened(.failure(error)) }
            fail(ReplicationError(error, flow: flow))
        case .refused(let bytes, let words): giveUp(argumentBytes: bytes, words)
        case .incomplete(let endpoint, let slot, let verdict):
            perform(retreat(verdict, in: slot, at: "\(endpoint)"))
        }
    }

    /// The session ends, since what other slots have got of the batch is not sent again in it; the next one goes on at the
    /// position and knows by its size what is not to be sent.
    private func giveUp(argumentBytes bytes: Int, _ words: String) {
        if words.contains("invalid bulk length") { context.targetLimits.refused(argumentBytes: bytes) }
        runner?.close()
        fail(
            ReplicationError(
                .targetChanged, flow: flow,
                "the target ends each connection at an argument of \(bytes) bytes, as beyond proto-max-bulk-len (\(words))"
            ))
    }

    /// A command over several slots was done by an earlier process, and home has lost it since.
    private func giveUp(_ command: CrossSlotCommand) {
        perform(
            retreat(
                .doubtful, in: command.home,
                message: "the node of slot \(command.home) has lost what a command over several slots had made"))
    }

    private func perform(_ retreat: Retreat) {
        guard failing == nil else { return }
        runner?.close()
        failing = Task { [flow, cluster, queue, key = context.checkpointKey] in
            let error = await Self.store(retreat, flow, at: key, of: cluster)
            queue.async { self.fail(error) }
        }
    }

    /// A failover may be on; after that, whoever opens it decides for how long it is tried.
    private func noteWhileOpening(_ error: TargetError) {
        guard let began = opening?.began, began.duration(to: .now) > Self.openingPatience else { return }
        opened(.failure(error))
    }

    private func fail(_ error: ReplicationError) {
        if opening != nil { return opened(.failure(error)) }
        (run, long) = (nil, nil)
        onEvent(.failed(error))
    }

    /// Where a flow goes back to, when a node lacks what its predecessor had confirmed.
    private struct Retreat: Sendable {
        var position: CheckpointValue
        var nodes: String
        var message: String
        /// Why a full sync is needed; `nil`: none is.
        var reason: FullSyncReason?
    }

    /// The position goes back to where the mark that was found was written, if everything since may be done again; else it is
    /// given up. Never forward: another node may be the reason that it is where it is.
    private func retreat(_ verdict: NodeWatch.Verdict, in slot: KeySlot, at node: String) -> Retreat {
        let what =
            switch verdict {
            case .complete, .older: "came back without writes that the cluster had confirmed"
            case .unremoved:
                "came back without a flush, or a full sync, that the cluster had confirmed: it has what was there before"
            case .doubtful: "has slots that came to its master shortly before it took its place"
            case .emptied: "was emptied"
            }
        return retreat(verdict, in: slot, message: "\(node) \(what)")
    }

    private func retreat(_ verdict: NodeWatch.Verdict, in slot: KeySlot, message: String) -> Retreat {
        let session = context.session
        let start = position.flatMap {
            verdict.restart(of: session.replicationID, before: $0.lsn, after: lastCrossing)
        }.map { LSN($0) }
        runner?.watch.accept(verdict.found, in: slot)
        let words = start.map { "the source is asked for everything since record \($0)" } ?? "a full sync is needed"
        return Retreat(
            position: start.map {
                .stable(replicationID: session.replicationID, flowCount: session.flowCount, next: $0)
            } ?? .snapshot(replicationID: session.replicationID, syncID: session.syncID, batch: 0),
            nodes: runner?.watch.text ?? "",
            message: "\(message): \(words)",
            reason: start != nil ? nil : verdict == .emptied ? .nodeEmptied : .nodeIncomplete)
    }

    /// - Returns: the error to stop with.
    private static func store(
        _ retreat: Retreat, _ flow: FlowID, at key: CheckpointKey, of cluster: ClusterConnector
    ) async -> ReplicationError {
        var message = retreat.message
        do throws(TargetError) {
            // What was written beside the stream at this position or later counts as lost.
            _ = try await cluster.ask(
                "HSET", key.name, key.field(flow), retreat.position.text, key.besideField(flow), "0",
                ClusterFields.nodes(flow), retreat.nodes)
        } catch {
            message += "; that could not be stored: \(error)"
        }
        guard let reason = retreat.reason else { return ReplicationError(.targetChanged, flow: flow, message) }
        return ReplicationError(lackingNode: message, flow: flow, reason)
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
        // Marks that are ahead of the position say what the next session must not do again.
        guard isIdle, !marks.areRelevant, let slots = runner?.watch.markedSlots,
            !(slots.isEmpty && marks.slots.isEmpty)
        else { return }
        // First nobody expects them.
        let key = Array(context.checkpointKey.name.utf8)
        let fields = [ClusterFields.nodes(flow), ClusterFields.crossing(flow)].map { Array($0.utf8) }
        let notes = SlotWork.maintenance()
        let part = notes.addPart(KeySlot(of: key))
        notes.append([Array("HDEL".utf8), key] + fields, to: part, mayRepeat: true)
        // A flow at rest has no flush before it: whoever has the notice still has lost its removal.
        let notice = Array(FlushNotice.key(ofCheckpoint: context.checkpointKey.name).utf8)
        notes.append([Array("UNLINK".utf8), notice], to: part, mayRepeat: true)
        let work = SlotWork.maintenance()
        for (field, slots) in [(nodeField, slots), (slotField, marks.slots.sorted())] {
            for slot in slots { work.append(field.removal(in: slot), to: work.addPart(slot), mayRepeat: true) }
        }
        guard (try? await done(notes, within: Self.retiringLimit)) != nil,
            (try? await done(work, within: Self.retiringLimit)) != nil
        else { return }
        marks.removeAll()
        runner?.watch.forget()
    }

    func close() {
        generation += 1
        if let runner {
            runner.close()
            keptWatch = runner.watch
            closed.append(runner)
        }
        runner = nil
        (run, long) = (nil, nil)
        opened(.failure(TargetError(.unreachable, "the target was closed")))
    }

    private var closed: [SlotRunner] = []

    func join(isolation: isolated (any Actor)? = #isolation) async {
        failing?.cancel()
        await failing?.value
        for runner in closed { await runner.join() }
        closed = []
    }
}

/// Fields of the checkpoint's hash beside a flow's own.
enum ClusterFields {
    /// What is expected of the nodes: `NodeWatch`.
    static func nodes(_ flow: FlowID) -> String { "nodes:\(flow)" }
    /// The last record whose commands crossed slots.
    static func crossing(_ flow: FlowID) -> String { "crossing:\(flow)" }
}
