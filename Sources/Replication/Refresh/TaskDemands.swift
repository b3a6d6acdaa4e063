import Base

/// What an operator may ask a task for while it runs: a comparison of both sides, keys to be read at the source again, and
/// the streams that consumers have read. Nothing here waits: each question has its answer at once.
///
/// Used from the server of the task's Unix socket; the session does the work (`SessionDemands`, `SessionRefresh`).
package final class TaskDemands: Sendable {
    /// Why nothing is done.
    package struct Refusal: Error, Sendable, CustomStringConvertible {
        package enum Code: String, Sendable {
            /// The task would have to be configured otherwise.
            case impossible
            /// Later it may be done.
            case notNow
        }

        package let code: Code
        package let description: String
    }

    /// What became of keys that were asked for.
    package struct Receipt: Equatable, Sendable {
        /// Keys that are read now, with those that waited already.
        package var asked = 0
        /// Keys of which it is not known which shard of the source has them.
        package var unplaced = 0
        /// Keys that the queue had no room for.
        package var noRoom = 0
        /// Where to ask how far they are.
        package var mark: UInt64 = 0
        /// Of `Rest`, before these keys were asked for.
        package var failedBefore = 0
        package var leftOutBefore = 0
    }

    /// How far the keys are that were asked for before a mark.
    package struct Rest: Equatable, Sendable {
        package var waiting = 0
        /// Keys that have changed each time they were read.
        package var changing = 0
        /// Keys that could not be read or written, since the process began.
        package var failed = 0
        /// Keys that a policy leaves out, since the process began.
        package var leftOut = 0
    }

    private let settings: ReplicatorSettings
    private let queue: RefreshQueue?
    private let verifying: Verification?
    private let incidents: IncidentLog
    package let streams = ConsumedStreams()
    /// Of the session that is stable; `nil`: none is.
    private let placement = Lock<KeyPlacement?>(nil)
    /// Wakes whoever reads keys at the source.
    private let wake = Lock<(@Sendable () -> Void)?>(nil)

    init(_ settings: ReplicatorSettings, queue: RefreshQueue?, incidents: IncidentLog) {
        self.settings = settings
        self.queue = queue
        self.incidents = incidents
        verifying = queue.map { [incidents] in Verification($0) { incidents.refusedByTarget } }
    }

    // MARK: The session

    var verificationAtWork: Verification? { verifying }

    /// A session is stable, and keys can be asked for.
    func learn(_ placement: KeyPlacement, wake: @escaping @Sendable () -> Void) {
        self.placement.withLock { $0 = placement }
        self.wake.withLock { $0 = wake }
    }

    func sessionEnded() {
        placement.withLock { $0 = nil }
        wake.withLock { $0 = nil }
    }

    // MARK: Both sides compared

    package func verify(
        keysPerSecond: Int
    ) throws(Refusal) -> (figures: Verification.Figures, isJoined: Bool) {
        guard let verifying else { throw noRefreshes }
        guard settings.scrub != nil else {
            throw Refusal(code: .impossible, description: "both sides are compared where the target is one server only")
        }
        tryAgain(queue)
        return verifying.begin(keysPerSecond: keysPerSecond)
    }

    /// Somebody may have done something about the obstacle: if it is still there, it is known at the next question.
    private func tryAgain(_ queue: RefreshQueue?) {
        guard let queue, queue.figures.obstacle != nil else { return }
        queue.setObstacle(nil)
        wake.withLock { $0 }?()
    }

    package func stopVerifying(_ number: Int) { verifying?.stop(number) }

    package var verification: Verification.Figures { verifying?.figures ?? Verification.Figures() }

    private var noRefreshes: Refusal {
        Refusal(
            code: .impossible,
            description: settings.mode == .migrate
                ? "a migration ends by itself" : "refresh.keysPerSecond is 0: no key is read at the source")
    }

    // MARK: Keys

    /// Has keys read at the source, before long at so many a second more than usual.
    package func refresh(_ keys: [RefreshKey], keysPerSecond: Int) throws(Refusal) -> Receipt {
        guard let queue else { throw noRefreshes }
        guard let placement = placement.withLock({ $0 }) else { throw notStable }
        var receipt = Receipt()
        receipt.failedBefore = failedKeys(queue)
        receipt.leftOutBefore = queue.figures.leftOut
        for key in keys {
            guard let flow = placement.flow(of: key.key) else {
                receipt.unplaced += 1
                continue
            }
            switch queue.ask(RefreshRequest(key, flow: flow, origin: .demand)) {
            case .added, .known: receipt.asked += 1
            case .noRoom: receipt.noRoom += 1
            }
        }
        tryAgain(queue)
        queue.hurry(by: keysPerSecond)
        receipt.mark = queue.mark
        return receipt
    }

    /// Has all keys that wait read at the source at once, where nothing is written any more.
    package func refreshWaiting(keysPerSecond: Int) throws(Refusal) -> Receipt {
        guard let queue else { throw noRefreshes }
        guard placement.withLock({ $0 }) != nil else { throw notStable }
        var receipt = Receipt()
        receipt.failedBefore = failedKeys(queue)
        queue.hasten()
        queue.hurry(by: keysPerSecond)
        receipt.mark = queue.mark
        receipt.asked = queue.outstanding(before: receipt.mark).waiting
        tryAgain(queue)
        wake.withLock { $0 }?()
        return receipt
    }

    package func rest(before mark: UInt64) -> Rest {
        guard let queue else { return Rest() }
        let outstanding = queue.outstanding(before: mark)
        return Rest(
            waiting: outstanding.waiting, changing: outstanding.changing, failed: failedKeys(queue),
            leftOut: queue.figures.leftOut)
    }

    private func failedKeys(_ queue: RefreshQueue) -> Int { queue.figures.failed + incidents.refusedByTarget }

    /// Why no key is read at the source at present; `nil`: keys are read.
    package var obstacle: String? { queue?.figures.obstacle }

    private var notStable: Refusal {
        Refusal(code: .notNow, description: "the task does not follow its source at present: see df2redis status")
    }

    // MARK: Streams that consumers have read

    /// Has them read at the source before all other keys, and as fast as that goes.
    ///
    /// - Returns: how many.
    package func fetchStreams() throws(Refusal) -> Int {
        let requests = streams.requests
        if requests.isEmpty { return 0 }
        guard let queue else { throw noRefreshes }
        guard placement.withLock({ $0 }) != nil else { throw notStable }
        return fetch(requests, queue)
    }

    /// There are streams to be read, and they may be read.
    var hasStreams: Bool { queue != nil && streams.figures.count > 0 }

    /// As `fetchStreams`, for a leave.
    func fetchStreamsNow() -> Int {
        let requests = streams.requests
        guard let queue, !requests.isEmpty else { return 0 }
        return fetch(requests, queue)
    }

    private func fetch(_ requests: [RefreshRequest], _ queue: RefreshQueue) -> Int {
        for request in requests { queue.ask(request) }
        wake.withLock { $0 }?()
        return requests.count
    }

    /// Streams that are not written yet.
    package var unfetchedStreams: Int { queue?.urgentCount ?? 0 }
}
