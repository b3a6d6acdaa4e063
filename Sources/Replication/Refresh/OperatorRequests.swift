import Base

/// Takes an operator's requests to a running task: a comparison of both sides, keys to be read at the source again, and the
/// streams that consumers have read. No request waits; each is answered at once.
///
/// Used from the server of the task's Unix socket. The session does the work (`SessionOperatorRequests`,
/// `SessionRefresh`).
package final class OperatorRequests: Sendable {
    /// Why a request is refused.
    package struct Refusal: Error, Sendable, CustomStringConvertible {
        package enum Code: String, Sendable {
            /// The task's configuration does not allow the request.
            case impossible
            /// The request may succeed later.
            case notNow
        }

        package let code: Code
        package let description: String
    }

    /// The result of a request for keys.
    package struct Receipt: Equatable, Sendable {
        /// The number of keys that are read now, including those that already waited.
        package var asked = 0
        /// The number of keys whose shard at the source is not known.
        package var unplaced = 0
        /// The number of keys for which the queue had no room.
        package var noRoom = 0
        /// The mark for `progress(before:)`, which says how far these keys are.
        package var mark: UInt64 = 0
        /// The values of `Progress` before these keys were requested.
        package var failedBefore = 0
        package var leftOutBefore = 0
    }

    /// The state of the keys that were requested before a mark.
    package struct Progress: Equatable, Sendable {
        package var waiting = 0
        /// Keys that changed each time they were read.
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
    /// The key placement of the stable session; `nil` if no session is stable.
    private let placement = Lock<KeyPlacement?>(nil)
    /// Wakes the session's reader of keys.
    private let wake = Lock<(@Sendable () -> Void)?>(nil)

    init(_ settings: ReplicatorSettings, queue: RefreshQueue?, incidents: IncidentLog) {
        self.settings = settings
        self.queue = queue
        self.incidents = incidents
        verifying = queue.map { [incidents] in Verification($0) { incidents.refusedByTarget } }
    }

    // MARK: The session

    var verificationAtWork: Verification? { verifying }

    /// Notes that a session is stable, so keys can be requested.
    func learn(_ placement: KeyPlacement, wake: @escaping @Sendable () -> Void) {
        self.placement.withLock { $0 = placement }
        self.wake.withLock { $0 = wake }
    }

    func sessionEnded() {
        placement.withLock { $0 = nil }
        wake.withLock { $0 = nil }
    }

    // MARK: Comparisons

    package func verify(
        keysPerSecond: Int
    ) throws(Refusal) -> (figures: Verification.Figures, isJoined: Bool) {
        guard let verifying else { throw noRefreshes }
        guard settings.verifier != nil else {
            throw Refusal(code: .impossible, description: "both sides are compared where the target is one server only")
        }
        tryAgain(queue)
        return verifying.begin(keysPerSecond: keysPerSecond)
    }

    /// Clears the obstacle and tries again, because somebody may have removed it. If it still exists, it is known at the
    /// next query.
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

    /// Requests that `keys` are read at the source. Until they are, `keysPerSecond` more keys than usual are read each
    /// second.
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
            switch queue.ask(RefreshRequest(key, flow: flow, origin: .operatorRequest)) {
            case .added, .known: receipt.asked += 1
            case .noRoom: receipt.noRoom += 1
            }
        }
        tryAgain(queue)
        queue.hurry(by: keysPerSecond)
        receipt.mark = queue.mark
        return receipt
    }

    /// Makes all waiting keys due at once. It is meant for a time when nothing is written at the source any more.
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

    package func progress(before mark: UInt64) -> Progress {
        guard let queue else { return Progress() }
        let outstanding = queue.outstanding(before: mark)
        return Progress(
            waiting: outstanding.waiting, changing: outstanding.changing, failed: failedKeys(queue),
            leftOut: queue.figures.leftOut)
    }

    private func failedKeys(_ queue: RefreshQueue) -> Int { queue.figures.failed + incidents.refusedByTarget }

    /// Why no key is read at the source at present; `nil` if keys are read.
    package var obstacle: String? { queue?.figures.obstacle }

    private var notStable: Refusal {
        Refusal(code: .notNow, description: "the task does not follow its source at present: see df2redis status")
    }

    // MARK: Streams that consumers have read

    /// Requests that these streams are read at the source, before all other keys and without a rate limit.
    ///
    /// - Returns: the number of streams.
    package func fetchStreams() throws(Refusal) -> Int {
        let requests = streams.requests
        if requests.isEmpty { return 0 }
        guard let queue else { throw noRefreshes }
        guard placement.withLock({ $0 }) != nil else { throw notStable }
        return fetch(requests, queue)
    }

    /// Whether there are streams to be read and keys can be read.
    var hasStreams: Bool { queue != nil && streams.figures.count > 0 }

    /// Does the same as `fetchStreams`, for a leave.
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

    /// The number of streams that are not written yet.
    package var unfetchedStreams: Int { queue?.urgentCount ?? 0 }
}
