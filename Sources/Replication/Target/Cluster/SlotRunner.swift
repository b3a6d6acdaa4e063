import Dispatch
import Dragonfly
import Link
import Redis
import Wire

/// Does the work of a flow in the slots of a cluster, wherever they are. It follows redirections, waits for nodes that are
/// away, and finds out what became of requests that were on their way when a connection ended.
///
/// Confined to the queue of its flow.
final class SlotRunner: @unchecked Sendable {  // confined to the queue of its flow; tasks hop back to it
    enum Report {
        /// Something prevents the work from being done; it is retried.
        case unavailable(TargetError)
        /// The obstacle is gone.
        case available
        case failed(TargetError)
        /// A node ends each connection that brings a request with an argument of this size, with these words.
        case refused(argumentBytes: Int, String)
        /// A node lacks, or may lack, writes that its predecessor had confirmed.
        case incomplete(Endpoint, KeySlot, NodeWatch.Verdict)
    }

    /// How long a node may be silent before the topology is read, because another node may have taken its place.
    private static let silenceLimit = Duration.seconds(2)
    private static let refreshInterval = Duration.seconds(1)
    /// The interval at which the topology is read while there is no work, to check whether the nodes are still the masters.
    private static let checkInterval = Duration.seconds(3)
    private static let longestWait = Duration.milliseconds(500)
    /// The number of attempts after which a part that is still not done is reported.
    private static let attemptsUntilReported = 8

    private let flow: FlowID
    private let cluster: ClusterConnector
    private let retry: RetryPolicy
    private let queue: DispatchQueue
    private let nodeField: MarkField
    private let evictsMarks: Bool
    private let onReport: (Report) -> Void
    private lazy var pool = NodePool(
        flow, cluster: cluster, retry: retry, markField: nodeField, queue: queue,
        .init(
            onReply: { [unowned self] in received($0, $1, $2, $3) },
            onRest: { [unowned self] in step() },
            onLost: { [unowned self] in lost($0, $1, $2) },
            onUp: { [unowned self] in connected($0, $1) },
            onFailed: { [unowned self] in failed($0, $1) },
            onRoom: { [unowned self] in longGrew() },
            questions: { [unowned self] in watch.questions(to: $0, in: view.topology) }))
    private lazy var topologyRefresh = TopologyRefresh(cluster, queue: queue) { [weak self] in self?.refreshed($0) }
    private(set) var view: ClusterConnector.View
    var watch = NodeWatch()
    /// Returns the mark for a node: the current position and a new stamp.
    var nodeMark: () -> SlotMark
    /// Whether nodes are connected and asked for their marks even without work.
    var watchesNodes = false

    private var work: SlotWork?
    private var onDone: ((SlotWork) -> Void)?
    private var long: Long?
    /// The parts of `work` that wait to be sent.
    private var parts = PartQueue()
    /// The nodes of slots that have moved since the topology was read.
    private var moved: [KeySlot: Endpoint] = [:]
    /// The parts sent since the node's last confirmed mark, in order.
    private var pipelines: [Endpoint: [(parts: [Int], hasMark: Bool)]] = [:]
    /// Nodes that must get a mark.
    private var unmarked: Set<Endpoint> = []
    private var hasReportedUnavailable = false
    private var isClosed = false

    init(
        _ flow: FlowID, context: FlowContext, cluster: ClusterConnector, view: ClusterConnector.View,
        queue: DispatchQueue,
        nodeMark: @escaping () -> SlotMark, onReport: @escaping (Report) -> Void
    ) {
        (self.flow, self.cluster, self.view, self.queue) = (flow, cluster, view, queue)
        (self.nodeMark, self.onReport) = (nodeMark, onReport)
        retry = context.retry
        nodeField = .ofNodes(task: context.task, flow: flow.index)
        evictsMarks = context.targetEvictsMarks
        tick()
    }

    var isIdle: Bool { work == nil && !isClosed }
    var silence: Duration { pool.silence }
    var silentNode: Endpoint? { pool.silentNode }

    /// - Parameter onDone: called later, on the queue, when all work is done or the work has failed.
    func run(_ work: SlotWork, onDone: @escaping (SlotWork) -> Void) {
        precondition(self.work == nil, "one work at a time")
        (self.work, self.onDone) = (work, onDone)
        (parts, pipelines) = (PartQueue(0..<work.partCount), [:])
        if work.isEmpty { queue.async { self.step() } } else { step() }
    }

    func close() {
        isClosed = true
        topologyRefresh.cancel()
        pool.close()
        (work, onDone, long) = (nil, nil, nil)
    }

    func join(isolation: isolated (any Actor)? = #isolation) async {
        await topologyRefresh.join(isolation: isolation)
        await pool.join()
    }

    // MARK: A command that is sent while it is being built

    private struct Long {
        let command: LongCommand
        let onEnd: (TargetError?) -> Void
        let onRoom: () -> Void
        /// The node that gets the command, once it has begun.
        var endpoint: Endpoint?
    }

    /// - Parameters:
    ///   - onEnd: called when the command is done or has failed; it is not sent again.
    ///   - onRoom: called when some of the command has been taken.
    func run(_ command: LongCommand, onEnd: @escaping (TargetError?) -> Void, onRoom: @escaping () -> Void) {
        precondition(work == nil, "one work at a time")
        long = Long(command: command, onEnd: onEnd, onRoom: onRoom)
        (work, onDone) = (command.work, { [weak self] _ in self?.endLong(nil) })
        (parts, pipelines) = (PartQueue(), [:])
        longGrew()
    }

    /// Reports that the command has grown or its batch has been sealed.
    func longGrew() {
        guard let long, !isClosed else { return }
        let command = long.command
        let place = long.endpoint ?? moved[command.slot] ?? view.topology.master(of: command.slot)?.endpoint
        guard let endpoint = place, let link = pool.link(to: endpoint) else { return refresh() }
        if long.endpoint == nil {
            self.long?.endpoint = endpoint
            pipelines[endpoint] = [([0], true)]
            command.begin(on: link)
        }
        let wasThrough = command.isThrough
        if command.write(to: link) { queue.async { self.long?.onRoom() } }
        guard command.isThrough, !wasThrough, let slot = watch.slot(at: endpoint, in: view.topology) else { return }
        link.send { out, expected in appendMark(in: slot, to: endpoint, &out, &expected) }
    }

    private func endLong(_ error: TargetError?) {
        guard let long else { return }
        self.long = nil
        (work, onDone) = (nil, nil)
        long.onEnd(error)
    }

    // MARK: Sending

    private func step() {
        guard let work, !isClosed else { return }
        if work.failure != nil { return finish(work) }
        longGrew()
        parts.becomeDue(at: .now)
        send(work)
        sendMarks(work)
        guard work.isDone, unmarked.isEmpty, pool.isIdle else { return }
        finish(work)
    }

    private func finish(_ work: SlotWork) {
        let onDone = onDone
        (self.work, self.onDone) = (nil, nil)
        if work.failure == nil { pool.isDone() }
        if hasReportedUnavailable, work.failure == nil {
            hasReportedUnavailable = false
            onReport(.available)
        }
        onDone?(work)
    }

    private func send(_ work: SlotWork) {
        guard !parts.ready.isEmpty else { return }
        let topology = view.topology
        var byShard = [[Int]](repeating: [], count: topology.shards.count)
        var elsewhere: [Endpoint: [Int]] = [:]
        var unserved: [Int] = []
        for part in parts.takeReady() {
            let slot = work.slot(of: part)
            if let endpoint = parts.askedNode(of: part) ?? moved[slot] {
                elsewhere[endpoint, default: []].append(part)
            } else if let shard = topology.shard(of: slot) {
                byShard[shard].append(part)
            } else {
                unserved.append(part)
            }
        }
        for (shard, parts) in byShard.enumerated() where !parts.isEmpty {
            send(parts, to: topology.shards[shard].master.endpoint, of: work)
        }
        for (endpoint, parts) in elsewhere { send(parts, to: endpoint, of: work) }
        if !unserved.isEmpty {
            reportUnavailable(
                TargetError(.notReady, "no node of the cluster serves slot \(work.slot(of: unserved[0]))"))
            for part in unserved { parts.add(part, after: Self.longestWait) }
            refresh()
        }
    }

    private func send(_ sent: [Int], to endpoint: Endpoint, of work: SlotWork) {
        guard let link = pool.link(to: endpoint) else { return sent.forEach { parts.add($0) } }
        // A node without slots to which a slot is being moved gets its mark once it has the slot.
        let markSlot = work.changesData ? watch.slot(at: endpoint, in: view.topology) : nil
        if work.changesData { pipelines[endpoint, default: []].append((sent, markSlot != nil)) }
        link.send { out, expected in
            for part in sent {
                work.send(part, asking: parts.takeAsking(part), into: &out, &expected)
            }
            if let markSlot { appendMark(in: markSlot, to: endpoint, &out, &expected) }
        }
    }

    private func appendMark(
        in slot: KeySlot, to endpoint: Endpoint, _ out: inout ByteBuffer, _ expected: inout [NodeExpectation]
    ) {
        let mark = nodeMark()
        watch.sent(mark.stamp, to: endpoint, in: slot, of: view.topology)
        nodeField.append(mark, in: slot, to: &out)
        expected.append(NodeExpectation(.nodeMark))
        unmarked.remove(endpoint)
    }

    private func sendMarks(_ work: SlotWork) {
        for endpoint in unmarked {
            guard !topologyRefresh.isReading else { return }
            guard let slot = watch.slot(at: endpoint, in: view.topology) else {
                unmarked.remove(endpoint)
                continue
            }
            guard let link = pool.link(to: endpoint) else { continue }
            pipelines[endpoint, default: []].append(([], true))
            link.send { out, expected in appendMark(in: slot, to: endpoint, &out, &expected) }
        }
    }

    // MARK: Replies

    private func received(_ endpoint: Endpoint, _ reply: NodeReply, _ expectation: NodeExpectation, _ element: Int?) {
        if element == nil, long == nil, case .error(let text) = reply, TargetError.blamesRequest(text) {
            return complained(endpoint, text, expectation)
        }
        if expectation.kind == .nodeMark { return marked(endpoint, reply) }
        guard let work,
            let part = work.receive(reply, for: expectation, element: element, cluster.reading(from: endpoint))
        else { return }
        guard work.state(of: part) != .done else { return }
        if long != nil {
            let cause = work.retries[part]?.cause.text ?? "refused"
            return endLong(TargetError(.notReady, "the target \(endpoint) does not take a long value now: \(cause)"))
        }
        sendAgain(part, of: work)
    }

    private func complained(_ endpoint: Endpoint, _ text: String, _ expectation: NodeExpectation) {
        let blamed = work?.complained(about: expectation)
        pool.drop(
            endpoint, because: TargetError(.unreachable, "the target \(endpoint) ends the connection: \(text)"))
        if let blamed { onReport(.refused(argumentBytes: blamed, text)) }
    }

    private func marked(_ endpoint: Endpoint, _ reply: NodeReply) {
        guard case .error(let text) = reply else {
            // HSET has created the field although it held an earlier mark. Only a flush by somebody else removes a mark.
            if case .outline(let outline) = reply, !outline.isZero, !evictsMarks,
                let slot = watch.replacedSlot(at: endpoint)
            {
                return onReport(.incomplete(endpoint, slot, .emptied))
            }
            watch.confirmed(at: endpoint, in: view.topology)
            if let last = pipelines[endpoint]?.firstIndex(where: \.hasMark) {
                pipelines[endpoint]?.removeFirst(last + 1)
            }
            return
        }
        if let place = pipelines[endpoint]?.firstIndex(where: \.hasMark) { pipelines[endpoint]?[place].hasMark = false }
        unmarked.insert(endpoint)
        let redirection = ClusterRedirection(text, cluster.reading(from: endpoint))
        if redirection == nil, !TargetError.isTransientReply(text) {
            return onReport(.failed(TargetError.reply(text, to: "the mark of \(endpoint)")))
        }
        switch redirection {
        case .ask, .tryAgain:
            // A mark in another slot of the node is as good.
            if watch.refused(at: endpoint, slotIsOpen: true, in: view.topology) { return }
            reportUnavailable(
                TargetError(.notReady, "all slots of \(endpoint) are being moved: it takes no mark (\(text))"))
            refresh()
        case .moved(_, let informed):
            _ = watch.refused(at: endpoint, slotIsOpen: false, in: view.topology)
            refresh(asking: informed)
        case .down, nil:
            _ = watch.refused(at: endpoint, slotIsOpen: false, in: view.topology)
            reportUnavailable(TargetError(.notReady, "the target \(endpoint) is not ready: \(text)"))
            refresh()
        }
    }

    private func sendAgain(_ part: Int, of work: SlotWork) {
        guard let next = work.retries[part] else { return parts.add(part) }
        var wait = Duration.zero
        if next.attempts > 3 { wait = min(retry.wait(before: next.attempts - 3), Self.longestWait) }
        switch next.cause {
        case .redirected(.moved(let slot, let endpoint)):
            // A node that was not a master may have taken the place of one without its last writes. Nothing is written
            // there before the topology shows whose place it took and the node has been asked for the mark.
            if view.topology.masters.contains(where: { $0.endpoint == endpoint }) {
                moved[slot] = endpoint
            } else {
                wait = max(wait, .milliseconds(20))
            }
            refresh(asking: endpoint)
        case .redirected(.ask(_, let endpoint)): parts.ask(part, at: endpoint)
        case .redirected(.tryAgain): wait = max(wait, .milliseconds(20))
        case .redirected(.down(let text)):
            wait = max(wait, .milliseconds(100))
            refresh()
            reportUnavailable(TargetError(.notReady, "the target is not ready: \(text)"))
        case .passing(let text):
            wait = max(wait, min(retry.wait(before: next.attempts), Self.longestWait))
            reportUnavailable(TargetError(.notReady, "the target refuses writes: \(text)"))
        }
        if next.attempts == Self.attemptsUntilReported {
            reportUnavailable(
                TargetError(
                    .notReady,
                    "slot \(work.slot(of: part)) of the cluster is not to be had since \(next.attempts) attempts: \(next.cause.text)"
                ))
        }
        parts.add(part, after: wait)
    }

    private func reportUnavailable(_ error: TargetError) {
        hasReportedUnavailable = true
        onReport(.unavailable(error))
    }

    // MARK: Connections

    private func connected(_ endpoint: Endpoint, _ answers: [(slot: KeySlot, mark: SlotMark?)]) {
        for (slot, mark) in answers {
            let verdict = watch.check(mark, in: slot, of: view.topology)
            if verdict != .complete { return onReport(.incomplete(endpoint, slot, verdict)) }
        }
        let answered = Set(answers.map(\.slot))
        guard watch.questions(to: endpoint, in: view.topology).allSatisfy(answered.contains) else {
            return pool.drop(
                endpoint, because: TargetError(.unreachable, "the target \(endpoint) serves other slots by now"))
        }
        step()
    }

    private func failed(_ endpoint: Endpoint, _ error: TargetError) {
        guard error.isTransient else { return onReport(.failed(error)) }
        if work != nil { reportUnavailable(error) }
        parts.forgetAsking(at: endpoint)
        refresh()
    }

    private func lost(_ endpoint: Endpoint, _ unanswered: Set<Int>, _ error: TargetError) {
        // The node's successor may lack everything that the node confirmed after its last mark.
        let doubtful = unanswered.union((pipelines.removeValue(forKey: endpoint) ?? []).flatMap(\.parts))
        watch.lost(endpoint)
        if long != nil {
            if !doubtful.isEmpty { endLong(error) }
        } else if let work {
            for part in doubtful { work.lost(part) }
            parts.restart(doubtful)
            if !doubtful.isEmpty { reportUnavailable(error) }
        }
        if error.code == .protocolViolation { return onReport(.failed(error)) }
        refresh()
        queue.async { self.step() }
    }

    // MARK: Topology

    private func refresh(asking informed: Endpoint? = nil) {
        if !isClosed { topologyRefresh.start(after: view.generation, asking: informed) }
    }

    private func refreshed(_ result: Result<ClusterConnector.View, TargetError>) {
        guard !isClosed else { return }
        switch result {
        case .success(let newer): adopt(newer)
        case .failure(let error):
            // With work, the failure is reported. Without work, the existing connections notice lost nodes.
            guard let work else { return }
            guard error.isTransient else { return onReport(.failed(error)) }
            if !work.isDone { reportUnavailable(error) }
        }
        step()
    }

    private func adopt(_ newer: ClusterConnector.View) {
        let newMasters = watch.expectedSlots.compactMap { slot -> Endpoint? in
            let endpoint = newer.topology.master(of: slot)?.endpoint
            return endpoint == view.topology.master(of: slot)?.endpoint ? nil : endpoint
        }
        if newer.topology != view.topology { topologyRefresh.hasChanged() }
        view = newer
        moved = [:]
        // A node that was connected before it became a master has not been asked for its predecessor's mark.
        for endpoint in Set(newMasters) {
            pool.drop(
                endpoint, because: TargetError(.unreachable, "the target \(endpoint) has become a master"))
        }
        let masters = Set(newer.topology.masters.map(\.endpoint))
        for endpoint in pool.silentNodes(for: Self.silenceLimit) where !masters.contains(endpoint) {
            pool.drop(endpoint, because: TargetError(.unreachable, "the target \(endpoint) is no master any more"))
        }
        unmarked.formUnion(watch.unmarked(in: newer.topology))
    }

    // MARK: Without work

    /// Connects to the nodes and refreshes the topology, because a node that lacks expected writes, or its successor, is
    /// noticed when it is asked.
    private func checkNodes() {
        guard watchesNodes, case let slots = watch.expectedSlots, !slots.isEmpty else { return }
        if topologyRefresh.age > Self.checkInterval { refresh() }
        for slot in slots {
            if let master = view.topology.master(of: slot) { _ = pool.link(to: master.endpoint) }
        }
    }

    /// Whether every node with an expected mark is connected and has that mark.
    ///
    /// - Parameter newer: the cluster as another part has read it.
    func hasFoundNodesComplete(in newer: ClusterConnector.View) -> Bool {
        if isClosed { return false }
        if newer.generation > view.generation {
            adopt(newer)
            step()
        }
        return watch.expectedSlots.allSatisfy { slot in
            view.topology.master(of: slot).map { pool.isConnected(to: $0.endpoint) } ?? false
        }
    }

    private func tick() {
        queue.asyncAfter(deadline: .now() + .milliseconds(100)) { [weak self] in
            guard let self, !isClosed else { return }
            if work != nil {
                let isStuck = !parts.ready.isEmpty || !pool.silentNodes(for: Self.silenceLimit).isEmpty
                if isStuck, topologyRefresh.age > Self.refreshInterval { refresh() }
                step()
            } else {
                checkNodes()
            }
            tick()
        }
    }
}
