import Dragonfly
import Link
package import Logging
import Wire

/// The keys of a task that must be read at the source, each once.
///
/// Only a limited number of keys is in memory. A file of the state directory has all keys except urgent ones, so that they
/// survive a restart.
///
/// Used from every flow's queue and from the session.
package final class RefreshQueue: Sendable {
    /// The numbers of keys since the process began.
    package struct Figures: Equatable, Sendable {
        /// Keys that were requested.
        package var asked = 0
        /// Keys that were read, and written to the target.
        package var refreshed = 0
        /// Keys among the refreshed ones that the source no longer had.
        package var removed = 0
        /// Readings that came too late, because the key had changed.
        package var retried = 0
        /// Keys that a record removed before they were read.
        package var overtaken = 0
        /// Keys that a policy leaves out, such as those of a type that the target lacks.
        package var leftOut = 0
        /// Keys that could not be refreshed: they were refused, were too large, or there was no room for them.
        package var failed = 0
        /// Keys that wait.
        package var waiting = 0
        /// Why nothing is refreshed at present, in words for an operator; `nil` if keys are being refreshed.
        package var obstacle: String?

        package init() {}
    }

    /// The maximum number of keys in memory.
    private let mostInMemory: Int

    /// The result of a request.
    package enum Admission: Sendable {
        case added
        /// The key already waits.
        case known
        case noRoom
    }

    /// A higher rate that applies while keys which an operator requested wait.
    private struct Hurry {
        var mark: UInt64
        var keysPerSecond: Int
        var checkedAt: Int64
    }

    private struct State {
        var schedule = RefreshSchedule()
        var figures = Figures()
        /// `nil`: memory is all there is.
        var backlog: RefreshBacklog?
        var history: RefreshHistory?
        /// Of the next key that is asked for. Those of the backlog have the last ones before it.
        var nextNumber: UInt64 = 1
        var hurry: Hurry?
        /// What was logged last.
        var failure: String?

        var backlogCount: Int { backlog?.count ?? 0 }
    }

    private let state: Lock<State>
    private let logger: Logger
    private let clock: @Sendable () -> Int64

    /// - Parameters:
    ///   - path: the queue's file; if `nil`, keys that do not fit into memory are left out.
    ///   - historyPath: the file of the keys that were refreshed last; if `nil`, none are known after the target loses its
    ///     last writes.
    ///   - clock: returns milliseconds and never goes back.
    package init(
        path: String?, historyPath: String? = nil, logger: Logger, mostInMemory: Int = 10_000,
        mostFileBytes: Int = 1 << 30, mostHistoryBytes: Int = 8 << 20, mostFingerprints: Int = 200_000,
        clock: @escaping @Sendable () -> Int64 = { WallClock.monotonic().milliseconds }
    ) {
        self.logger = logger
        self.clock = clock
        self.mostInMemory = mostInMemory
        var state = State()
        if let path {
            do throws(SystemError) {
                let backlog = try RefreshBacklog(
                    path: path, mostFileBytes: mostFileBytes, mostFingerprints: mostFingerprints)
                state.figures.asked = backlog.count
                state.nextNumber += UInt64(backlog.count)
                state.backlog = backlog
            } catch {
                logger.error("the keys to be refreshed cannot be kept in a file, and are lost by a restart: \(error)")
            }
        }
        if let historyPath {
            do throws(SystemError) {
                state.history = try RefreshHistory(path: historyPath, mostBytes: mostHistoryBytes)
            } catch {
                logger.error("\(Self.notRemembered): \(error)")
            }
        }
        self.state = Lock(state)
    }

    /// Whether keys that wait survive a restart.
    var isKept: Bool { state.withLock { $0.backlog != nil } }

    package var figures: Figures {
        state.withLock { state in
            var figures = state.figures
            figures.waiting = state.schedule.count + state.backlogCount
            return figures
        }
    }

    // MARK: Requests

    /// Requests that a key is read, because it may differ from the source's.
    @discardableResult
    package func ask(_ request: RefreshRequest) -> Admission {
        let now = clock()
        let (admission, failure) = state.withLock { state in add(request, now: now, &state) }
        if let failure { logger.warning("\(failure)") }
        return admission
    }

    /// Notes that `destination` gets the value that `key` has in the target. If `key` must be read, `destination` must be
    /// read too.
    func transfer(_ key: RefreshKey, to destination: RefreshKey, flow: FlowID) {
        let now = clock()
        let failure = state.withLock { state -> String? in
            guard let origin = origin(of: key, state) else { return nil }
            return add(RefreshRequest(destination, flow: flow, origin: origin), now: now, &state).failure
        }
        if let failure { logger.warning("\(failure)") }
    }

    /// Whether a key waits to be read at the source. If very many keys are on disk, this is `true` for a few keys that do
    /// not wait.
    func waits(_ key: RefreshKey) -> Bool { state.withLock { origin(of: key, $0) != nil } }

    /// Why a key waits; `nil` if it does not. If very many keys are on disk, a few keys that do not wait get a reason.
    private func origin(of key: RefreshKey, _ state: State) -> RefreshOrigin? {
        if let origin = state.schedule.origin(of: key) { return origin }
        return state.backlog?.mayContain(key) == true ? .stream : nil
    }

    /// - Returns: the admission, and a failure to be logged.
    private func add(
        _ request: RefreshRequest, now: Int64, _ state: inout State
    ) -> (Admission, failure: String?) {
        if state.schedule.contains(request.key) {
            _ = state.schedule.add(request, at: nil, now: now)
            return (.known, nil)
        }
        if request.origin.isUrgent {
            // Urgent keys are streams with groups, whose number is limited elsewhere. They are not needed after a restart.
            state.figures.asked += 1
            _ = state.schedule.add(request, at: nil, number: state.nextNumber, now: now)
            return (.added, nil)
        }
        if state.backlog?.contains(request.key) == true { return (.known, nil) }
        let hasRoom = state.backlogCount == 0 && state.schedule.count < mostInMemory
        var failure: String?
        if state.backlog?.isFull == false {
            do throws(SystemError) {
                let place = try state.backlog?.append(request, waits: !hasRoom)
                count(request, inMemory: hasRoom, at: place, now: now, &state)
                return (.added, nil)
            } catch {
                failure = "the keys to be refreshed cannot be written to a file: \(error)"
            }
        } else if !hasRoom {
            failure = "there is no room for more keys to be refreshed: those that come now are left out"
        }
        let news = failure.flatMap { report($0, &state) }
        guard hasRoom else {
            state.figures.failed += 1
            return (.noRoom, news)
        }
        count(request, inMemory: true, at: nil, now: now, &state)
        return (.added, news)
    }

    private func count(
        _ request: RefreshRequest, inMemory: Bool, at place: RefreshFile.Place?, now: Int64, _ state: inout State
    ) {
        state.figures.asked += 1
        let number = state.nextNumber
        state.nextNumber += 1
        if inMemory { _ = state.schedule.add(request, at: place, number: number, now: now) }
    }

    /// Returns the failure if it must be logged: it differs from the last one.
    private func report(_ failure: String, _ state: inout State) -> String? {
        defer { state.failure = failure }
        return state.failure == failure ? nil : failure
    }

    // MARK: Reading and finishing keys

    /// Returns the next keys that are due. Urgent keys are returned by themselves.
    package func take(atMost limit: Int, urgent: Int = 0) -> [RefreshRequest] {
        let now = clock()
        let (requests, failure) = state.withLock { state in
            let failure = refill(&state, now: now)
            let requests = state.schedule.take(atMost: limit, urgent: max(limit, urgent), now: now)
            do throws(SystemError) { try state.backlog?.trim(&state.schedule, now: now) } catch {
                // Done keys would be refreshed again after a restart.
                state.failure = "\(error)"
            }
            return (requests, failure)
        }
        if let failure { logger.error("\(failure)") }
        return requests
    }

    /// Brings keys of the backlog to memory.
    ///
    /// - Returns: what is to be logged.
    private func refill(_ state: inout State, now: Int64) -> String? {
        while state.backlogCount > 0, state.schedule.count < mostInMemory {
            let number = state.nextNumber - UInt64(state.backlogCount)
            do throws(SystemError) {
                guard let (request, place) = try state.backlog?.popFirst() else { return dropBacklog(&state) }
                _ = state.schedule.add(request, at: place, number: number, now: now)
            } catch {
                // The keys stay in the file and are read the next time.
                return report("the keys to be refreshed cannot be read from a file: \(error)", &state)
            }
        }
        return nil
    }

    private func dropBacklog(_ state: inout State) -> String? {
        let lost = state.backlogCount
        state.figures.failed += lost
        state.backlog?.drop()
        return report(
            "the file of the keys to be refreshed is damaged: \(lost) keys are left out; 'df2redis verify' finds those that differ",
            &state)
    }

    /// Schedules the key to be read again later.
    ///
    /// - Parameter wait: the minimum wait in milliseconds.
    package func retry(_ key: RefreshKey, wasStale: Bool, notBefore wait: Int64 = 0) {
        let now = clock()
        state.withLock { state in
            if wasStale { state.figures.retried += 1 }
            state.schedule.retry(key, wasStale: wasStale, now: now, notBefore: wait)
        }
    }

    /// The result for a key.
    package enum End: Sendable { case written, removed, overtaken, leftOut, failed }

    /// - Parameter mark: the mark of the confirmed batch; `nil` if nothing has been written.
    package func finish(_ key: RefreshKey, _ end: End, at mark: StreamMark? = nil) {
        let now = clock()
        let failure = state.withLock { state in
            // This must come before the schedule forgets the key.
            let failure = mark.flatMap { remember(key, at: $0, &state) }
            switch end {
            case .written: state.figures.refreshed += 1
            case .removed:
                state.figures.refreshed += 1
                state.figures.removed += 1
            case .overtaken: state.figures.overtaken += 1
            case .leftOut: state.figures.leftOut += 1
            case .failed: state.figures.failed += 1
            }
            state.schedule.finish(key, now: now)
            return failure
        }
        if let failure { logger.warning("\(failure)") }
    }

    private static let notRemembered =
        "keys that have been refreshed cannot be noted, and stay as they are if the target loses its last writes"

    /// - Returns: a failure to be logged.
    private func remember(_ key: RefreshKey, at mark: StreamMark, _ state: inout State) -> String? {
        guard let history = state.history, let request = state.schedule.request(key) else { return nil }
        do throws(SystemError) {
            try history.append(request, at: mark)
            return nil
        } catch {
            return report("\(Self.notRemembered): \(error)", &state)
        }
    }

    /// Requests the keys again that were refreshed after `marks`, at which a session continues. Either the target has lost
    /// them, or the position is in a file and older than the target's data, so that the records since then are applied to
    /// those values a second time.
    ///
    /// - Parameters:
    ///   - marks: the mark of each flow.
    ///   - isOfFile: whether a file has the position, not the target.
    package func resume(at marks: [StreamMark], isOfFile: Bool = false) {
        let now = clock()
        var (count, mayBeMore, failures) = (0, false, [String]())
        state.withLock { state in
            guard let history = state.history else { return }
            do throws(SystemError) {
                let lost = try history.lost(after: marks)
                (count, mayBeMore) = (lost.requests.count, lost.mayBeMore)
                guard count > 0 || mayBeMore else { return }
                var hasRoom = true
                for request in lost.requests {
                    let (admission, failure) = add(request, now: now, &state)
                    if case .noRoom = admission { hasRoom = false }
                    if let failure { failures.append(failure) }
                }
                if hasRoom { try history.forgetLost(after: marks) }
            } catch {
                failures.append("which keys have been refreshed since the position is not known: \(error)")
            }
        }
        let keys = "keys that had been read at the source"
        if count > 0 {
            logger.notice(
                isOfFile
                    ? "the position in the file is older than the target's data: \(count) \(keys) since then are read again"
                    : "the target has lost its last writes: \(count) \(keys) are read again")
        }
        if mayBeMore {
            let what =
                isOfFile
                ? "since the position in the file there were more \(keys) than are remembered"
                : "the target has lost more than is remembered of the \(keys)"
            failures.append("\(what): 'df2redis verify' finds those that differ")
        }
        for failure in failures { logger.warning("\(failure)") }
    }

    /// Makes keys due again whose readings belonged to the ended session.
    package func sessionEnded() { state.withLock { $0.schedule.resetAsked() } }

    /// Removes all keys, because a full sync brings every key.
    package func fullSyncBegins() {
        state.withLock { state in
            state.schedule.removeAll()
            state.backlog?.removeAll()
            try? state.history?.forget()
        }
    }

    // MARK: Requests by an operator

    /// A mark after everything requested so far.
    package var mark: UInt64 { state.withLock { $0.nextNumber } }

    /// Returns how many keys requested before `mark` still wait, and how many change whenever they are read and need not be
    /// waited for.
    package func outstanding(before mark: UInt64) -> (waiting: Int, changing: Int) {
        state.withLock { outstanding(before: mark, $0) }
    }

    private func outstanding(before mark: UInt64, _ state: State) -> (waiting: Int, changing: Int) {
        var outstanding = state.schedule.outstanding(before: mark)
        let firstInBacklog = state.nextNumber - UInt64(state.backlogCount)
        let end = min(mark, state.nextNumber)
        if end > firstInBacklog { outstanding.waiting += Int(end - firstInBacklog) }
        return outstanding
    }

    /// Reads `keysPerSecond` more keys each second until everything requested so far is done.
    package func hurry(by keysPerSecond: Int) {
        let now = clock()
        state.withLock { state in
            let rate = max(keysPerSecond, state.hurry?.keysPerSecond ?? 0)
            state.hurry = Hurry(mark: state.nextNumber, keysPerSecond: rate, checkedAt: now)
        }
    }

    /// Makes all waiting keys due, because nothing is written at the source any more.
    func hasten() { state.withLock { $0.schedule.hasten() } }

    /// Returns how many keys may be read in a second.
    func rate(_ usual: Int) -> Int {
        let now = clock()
        return state.withLock { state in
            guard let hurry = state.hurry else { return usual }
            if now - hurry.checkedAt >= 1000 {
                if outstanding(before: hurry.mark, state).waiting == 0 {
                    state.hurry = nil
                    return usual
                }
                state.hurry?.checkedAt = now
            }
            return usual + hurry.keysPerSecond
        }
    }

    /// The number of urgent keys that wait.
    package var urgentCount: Int { state.withLock { $0.schedule.urgentCount } }

    package func setObstacle(_ obstacle: String?) { state.withLock { $0.figures.obstacle = obstacle } }
}
