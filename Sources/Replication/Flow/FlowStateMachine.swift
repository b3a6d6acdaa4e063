import DequeModule
import Dragonfly
import Redis

/// Decides what a flow does next, from its first connection to the target until it is closed.
///
/// Pure: it does no I/O and has no clock. Events change the state; `next` returns the next action, again and again until
/// the action is to wait. The driver (`FlowApplier`) carries the actions out.
///
/// ```
///               linkUp                     sent, began
///   connecting ────────▶ idle ──────────────────────────▶ sending, growing
///       ▲                 │ ▲          completed              │
///       └── linkLost ─────┘ └─────────────────────────────────┤
///       └──────────────────────────────────────── linkLost ───┘  (the batch is in doubt)
/// ```
/// Batches that need no order (`BatchesInFlight`) are sent while others are on their way. If one of them is not
/// applied, it waits in `backlog` until nothing else is on its way. Then each batch of the backlog is sent by itself,
/// and its result is judged.
///
/// The link's state and the stream's state are independent: a flow may wait at a global command while its link is down.
struct FlowStateMachine: ~Copyable {
    let flow: FlowID
    private(set) var state = State.active(.readable, .connecting(.first))
    private(set) var commits: CommitTracker
    private var schedule = SendSchedule()
    private var quiescence = Quiescence.none
    private var pace = Pace.normal
    private var availability = Availability.available
    /// How often in a row the target has turned the batch away.
    private var refusals = 0
    private var servingRunID: String
    /// Unordered batches that were sent with others and were not applied, or are in doubt.
    private var backlog: Deque<CommandBatch> = []
    /// Actions that come before anything else.
    private var pending: Deque<Action> = []

    init(flow: FlowID, commits: CommitTracker, targetRunID: String) {
        self.flow = flow
        self.commits = commits
        servingRunID = targetRunID
    }
}

// MARK: - The next action

extension FlowStateMachine {
    mutating func next(_ built: BatchState, at now: ContinuousClock.Instant) -> Action {
        if let action = pending.popFirst() { return action }
        guard case .active(let stream, let link) = state else { return .wait }
        switch link {
        case .connecting: return .wait
        case .sending(let flight): return nextWhileSending(flight, stream, built)
        case .growing(let batch, let hasUnsent): return nextWhileGrowing(batch, hasUnsent, stream, built)
        case .idle: return nextWhileIdle(stream, built, at: now)
        }
    }

    private func mayDecode(_ stream: Stream, _ built: BatchState) -> Bool {
        if case .readable = stream { !built.isFull } else { false }
    }

    private mutating func nextWhileSending(_ flight: BatchesInFlight, _ stream: Stream, _ built: BatchState) -> Action {
        if mayDecode(stream, built) { return .decode }
        guard case .readable = stream, case .none = quiescence, built.isFull, built.mayFollow, backlog.isEmpty,
            flight.mayBeFollowed
        else { return .wait }
        return send(built)
    }

    private mutating func nextWhileGrowing(
        _ batch: CommandBatch, _ hasUnsent: Bool, _ stream: Stream, _ built: BatchState
    ) -> Action {
        if mayDecode(stream, built) { return .decode }
        switch stream {
        // The last commands appended may be for a database that is not prepared.
        case .waitingForDatabases, .waitingForAnswers: return .wait
        case .ending(let error) where built.isInCommand:
            fail(error)
            return pending.popFirst() ?? .wait
        case .readable, .exhausted, .beforeGlobal, .atGlobal, .ending: break
        }
        guard built.isInCommand else { return .seal }
        guard hasUnsent else { return .wait }
        state = .active(stream, .growing(batch, hasUnsent: false))
        return .grow
    }

    private mutating func nextWhileIdle(
        _ stream: Stream, _ built: BatchState, at now: ContinuousClock.Instant
    ) -> Action {
        guard case .none = quiescence else { return beQuiet() }
        if let batch = backlog.popFirst() { return .sendAgain(batch) }
        switch stream {
        case .waitingForDatabases, .waitingForAnswers, .atGlobal: return .wait
        case .readable:
            guard built.isFull else { return .decode }
            return send(built)
        case .exhausted:
            if built.isInCommand { return .wait }
            if built.hasContent { return sendSoon(built, at: now) }
            return finishDrain()
        case .beforeGlobal(let command, let transactionID):
            if built.hasContent { return send(built) }
            state = .active(.atGlobal, .idle)
            return .report(.reachedGlobal(flow, command, transactionID: transactionID))
        case .ending(let error):
            if built.hasContent, !built.isInCommand { return send(built) }
            fail(error)
            return pending.popFirst() ?? .wait
        }
    }

    private func send(_ built: BatchState) -> Action {
        if schedule.isPacing { return .wait }
        return built.isInCommand ? .begin : .send
    }

    private mutating func sendSoon(_ built: BatchState, at now: ContinuousClock.Instant) -> Action {
        if case .draining = pace { return send(built) }
        if schedule.isPacing { return .wait }
        switch schedule.turn(at: now) {
        case .now: return send(built)
        case .after(let wait): return .wake(after: wait)
        case .waiting: return .wait
        }
    }

    private mutating func beQuiet() -> Action {
        guard case .requested = quiescence else { return .wait }
        quiescence = .quiet
        return .becameQuiet
    }

    private mutating func finishDrain() -> Action {
        guard case .draining = pace else { return .wait }
        pace = .normal
        return .drained
    }
}

// MARK: - Events

extension FlowStateMachine {
    // MARK: Bytes

    mutating func bytesAvailable() {
        if case .active(.exhausted, let link) = state { state = .active(.readable, link) }
    }

    /// Reports the result of decoding, or that what decoding waited for is there.
    mutating func decoded(_ result: Decoded) {
        guard case .active(let stream, var link) = state else { return }
        switch stream {
        case .readable, .exhausted, .waitingForDatabases, .waitingForAnswers: break
        case .beforeGlobal, .atGlobal, .ending: return
        }
        if case .growing(let batch, _) = link { link = .growing(batch, hasUnsent: true) }
        switch result {
        case .more: state = .active(.readable, link)
        case .nothingMore: state = .active(.exhausted, link)
        case .databases:
            state = .active(.waitingForDatabases, link)
            pending.append(.prepareDatabases)
        case .halted(.questions):
            state = .active(.waitingForAnswers, link)
            pending.append(.probe)
        case .halted(.global(let command, let transactionID)):
            state = .active(.beforeGlobal(command, transactionID: transactionID), link)
        case .halted(.failure(let error)): state = .active(.ending(error), link)
        case .halted(.restart(let command)):
            end(.failed)
            pending.append(.report(.mustRestart(flow, command)))
        }
    }

    /// Reports that the global command has been applied together with the checkpoints of all flows, and that this flow
    /// continues at `next`.
    ///
    /// - Returns: `false` if the flow does not wait for it.
    mutating func globalDone(next: LSN) -> Bool {
        guard case .active(.atGlobal, let link) = state else { return false }
        commits.confirmGlobal(next: next)
        state = .active(.readable, link)
        return true
    }

    // MARK: Batches

    /// Reports that a sealed batch is being sent.
    mutating func sent(_ batch: CommandBatch, at now: ContinuousClock.Instant) {
        guard case .active(let stream, _) = state else { return }
        schedule.sent(at: now)
        state = .active(stream, .sending(BatchesInFlight(batch)))
    }

    /// Reports that a sealed batch is being sent while others are on their way.
    mutating func joined(_ batch: CommandBatch, at now: ContinuousClock.Instant) {
        guard case .active(let stream, .sending(var flight)) = state else { return }
        schedule.sent(at: now)
        flight.append(batch)
        state = .active(stream, .sending(flight))
    }

    /// Reports that the oldest batch on its way has not been applied. The batch is sent again by itself after those that
    /// follow it, and its result is judged then.
    mutating func heldBack() {
        guard case .active(let stream, .sending(let flight)) = state, let rest = flight.droppingOldest() else { return }
        backlog.append(flight.oldest)
        state = .active(stream, .sending(rest))
    }

    /// Reports that the encoder's batch is being sent while it grows.
    mutating func began(_ batch: CommandBatch) {
        guard case .active(let stream, .idle) = state else { return }
        state = .active(stream, .growing(batch, hasUnsent: false))
    }

    /// Reports that the batch being written is sealed.
    mutating func sealed() {
        guard case .active(let stream, .growing(let batch, _)) = state else { return }
        state = .active(stream, .sending(BatchesInFlight(batch)))
    }

    /// Reports that the target has room for more of the batch being written.
    mutating func hasRoom() {
        guard case .active(let stream, .growing(let batch, _)) = state else { return }
        state = .active(stream, .growing(batch, hasUnsent: true))
    }

    /// Reports that a batch has to wait until `resume`.
    mutating func mustPace() { schedule.mustPace() }

    /// Reports that a pause has ended.
    mutating func resume() { schedule.resume() }

    /// Reports that the oldest batch on its way has been applied completely.
    mutating func completed() {
        guard case .active(let stream, .sending(let flight)) = state else { return }
        refusals = 0
        state = .active(stream, flight.droppingOldest().map { .sending($0) } ?? .idle)
        targetAvailable()
    }

    mutating func confirm(_ batch: CommandBatch) { commits.confirm(batch) }

    mutating func seal(_ batch: CommandBatch) { commits.seal(batch) }

    /// - Returns: whether some of the next batch, which ends at `next`, may have been applied before.
    mutating func noteBatch(endingAt next: UInt64?) -> Bool { commits.noteBatch(endingAt: next) }

    mutating func setCatchUpEnd(_ end: LSN) { commits.setCatchUpEnd(end) }

    /// Reports that the target refuses the batch on its way for the time being.
    mutating func temporarilyRefused(_ batch: CommandBatch, _ reason: String) {
        guard case .active(let stream, .sending) = state else { return }
        targetUnavailable(TargetError(.notReady, "the target refuses writes: \(reason)"))
        refusals += 1
        connect(stream, .temporarilyRefused(batch), attempts: refusals)
    }

    // MARK: The link

    /// - Parameter losses: how many connections in a row the batch on its way has lost.
    mutating func linkLost(_ error: TargetError, losses: Int) {
        guard case .active(let stream, let link) = state else { return }
        switch link {
        case .connecting: return
        case .growing(let batch, _): pending.append(.failLong(batch, error))
        case .sending(let flight) where !flight.oldest.isRetained: pending.append(.failLong(flight.oldest, error))
        case .idle, .sending:
            if error.code == .protocolViolation { return fail(ReplicationError(error, flow: flow)) }
            if case .sending(let flight) = link {
                targetUnavailable(error)
                backlog.prepend(contentsOf: flight.followers)
                connect(stream, .inDoubt(flight.oldest, error), attempts: max(losses, refusals))
            } else {
                // A target may close connections that have been idle for a while.
                if error.lastWords != nil { targetUnavailable(error) }
                connect(stream, .idle, attempts: 0)
            }
        }
    }

    private mutating func connect(_ stream: Stream, _ cause: Connecting, attempts: Int) {
        state = .active(stream, .connecting(cause))
        let isAvailable = if case .available = availability { true } else { false }
        pending.append(.connect(ReconnectPlan(attemptsBefore: attempts, isAtOnce: isAvailable)))
    }

    mutating func connectingFailed(_ error: TargetError) {
        guard case .active(_, .connecting) = state else { return }
        targetUnavailable(error)
    }

    /// - Parameter isAtFirstAttempt: whether the target served at the first attempt.
    mutating func linkUp(_ finding: FlowTargetFinding, isAtFirstAttempt: Bool) {
        guard case .active(let stream, .connecting(let cause)) = state else { return }
        let isServing = isAtFirstAttempt && finding.runID == servingRunID
        servingRunID = finding.runID
        if case .first = cause { return began(stream, commits.resolveStart(finding)) }
        switch commits.resolveInDoubt(cause.batch, finding, others: backlog) {
        case .changed(let reason): fail(ReplicationError(.targetChanged, flow: flow, reason))
        case .upToDate:
            state = .active(stream, .idle)
            targetAvailable()
        case .applied:
            guard let batch = cause.batch else { return }
            state = .active(stream, .sending(BatchesInFlight(batch)))
            pending.append(.confirmInDoubt(batch))
        case .notApplied: resend(stream, cause, isServing: isServing)
        case .repeated:
            // Repeating an unordered batch causes no errors by itself, so an error is a real one.
            if let batch = cause.batch, !batch.isUnordered { batch.mayHaveBeenApplied = true }
            resend(stream, cause, isServing: isServing)
        }
    }

    private mutating func resend(_ stream: Stream, _ cause: Connecting, isServing: Bool) {
        guard let batch = cause.batch else { return }
        state = .active(stream, .sending(BatchesInFlight(batch)))
        guard case .inDoubt(_, let loss) = cause else {
            return pending.append(.resend(batch, .unrelated, words: nil))
        }
        let evidence: BatchBisection.Evidence = !isServing ? .unrelated : loss.blamesRequest ? .complaint : .silence
        pending.append(.resend(batch, evidence, words: loss.lastWords))
    }

    private mutating func began(_ stream: Stream, _ resolution: CommitTracker.Resolution) {
        if case .changed(let reason) = resolution {
            return fail(ReplicationError(.targetChanged, flow: flow, reason))
        }
        state = .active(stream, .idle)
    }

    /// Reports a loss once, until the target has been found again.
    mutating func targetUnavailable(_ error: TargetError) {
        guard case .available = availability else { return }
        availability = .unavailable
        pending.append(.report(.targetLost(flow, error)))
    }

    mutating func targetAvailable() {
        guard case .unavailable = availability else { return }
        availability = .available
        pending.append(.report(.targetFound(flow)))
    }

    // MARK: Requests

    /// Requests that nothing is on its way until `release`.
    mutating func quiesce() {
        switch state {
        case .active: quiescence = .requested
        case .failed, .closed: pending.append(.becameQuiet)
        }
    }

    mutating func release() { quiescence = .none }

    /// Requests that everything received is applied at once, and that `drained` follows.
    mutating func drain() {
        switch state {
        case .active: pace = .draining
        case .failed, .closed: pending.append(.drained)
        }
    }

    /// Ends the drain, because its time limit has passed.
    mutating func stopDraining() { pace = .normal }

    mutating func fail(_ error: ReplicationError) {
        guard case .active = state else { return }
        end(.failed)
        pending.append(.report(.failed(error)))
    }

    mutating func close() {
        pending.removeAll()
        end(.closed)
    }

    private mutating func end(_ end: State) {
        if case .closed = state { return }
        if case .requested = quiescence { pending.append(.becameQuiet) }
        if case .draining = pace { pending.append(.drained) }
        (state, quiescence, pace) = (end, .none, .normal)
    }

    // MARK: Queries

    /// Returns the next action if it is a report, for a driver that must not do anything else yet.
    mutating func takeReport() -> FlowEvent? {
        guard case .report(let event)? = pending.first else { return nil }
        pending.removeFirst()
        return event
    }

    /// Whether a caller waits for `becameQuiet`.
    var isComingToRest: Bool {
        if case .requested = quiescence { true } else { false }
    }

    /// Whether a caller waits for `drained`.
    var isDraining: Bool {
        if case .draining = pace { true } else { false }
    }

    var isActive: Bool {
        if case .active = state { true } else { false }
    }

    /// Whether sealed batches are on their way.
    var isSending: Bool {
        if case .active(_, .sending) = state { true } else { false }
    }

    /// Whether other batches follow the oldest one on its way.
    var isFollowed: Bool {
        if case .active(_, .sending(let flight)) = state { flight.isFollowed } else { false }
    }

    /// The batch whose result is known next.
    var oldestOnItsWay: CommandBatch? {
        switch state {
        case .active(_, .sending(let flight)): flight.oldest
        case .active(_, .growing(let batch, _)): batch
        case .active, .failed, .closed: nil
        }
    }

    var isConnecting: Bool {
        if case .active(_, .connecting) = state { true } else { false }
    }

    /// Whether everything that has arrived is decoded, the link is up and nothing is on its way.
    var isAtRest: Bool {
        if case .active(.exhausted, .idle) = state { backlog.isEmpty } else { false }
    }

    /// Whether everything that has arrived is decoded and the link is up.
    var isCaughtUp: Bool {
        switch state {
        case .active(.exhausted, .connecting): false
        case .active(.exhausted, _): true
        case .active, .failed, .closed: false
        }
    }

    /// Whether the stream waits for nothing but bytes or room.
    var isFlowing: Bool {
        switch state {
        case .active(.readable, .connecting), .active(.exhausted, .connecting): false
        case .active(.readable, _), .active(.exhausted, _): true
        case .active, .failed, .closed: false
        }
    }

    /// Whether something received can still be applied, now or when the target is back.
    func hasMore(_ built: BatchState, isEmpty: Bool) -> Bool {
        switch state {
        // The other flows may never reach the command at which this one waits.
        case .active(.atGlobal, let link):
            if case .connecting = link { true } else { false }
        case .active(_, .idle): built.hasContent || !isEmpty || !backlog.isEmpty
        case .active: true
        case .failed, .closed: false
        }
    }
}
