import Link

/// What a task has done since its process began, over all its sessions: figures that never go back, and the last of those
/// that are measured now and then.
package final class TaskCounters: Sendable {
    package struct Values: Equatable, Sendable {
        /// Sessions that have got as far as a sync.
        package var sessions = 0
        /// Full syncs that have begun, by `FullSyncKind`.
        package var fullSyncs: [String: Int] = [:]
        /// How often a session has ended by an error, by `SessionFailure`.
        package var sessionFailures: [String: Int] = [:]
        /// How often the target stopped serving while a session went on.
        package var targetLosses = 0
        /// How long the target took for each batch, from its first byte to the reply of its `EXEC`.
        package var batches = LatencyHistogram()
        package var sourceRoundTrip: Duration?
        package var targetRoundTrip: Duration?
        /// Keys of the source when the last full sync began; `nil` while it has not said.
        package var sourceKeys: Int?
        /// Keys of the target, in all databases: at the first look of this process, and at the last.
        package var targetKeysBefore: Int?
        package var targetKeys: Int?

        package init() {}
    }

    private let state = Lock(Values())

    package init() {}

    package var values: Values { state.withLock { $0 } }

    func sessionBegan() { state.withLock { $0.sessions += 1 } }
    func sessionFailed(_ failure: SessionFailure) {
        state.withLock { $0.sessionFailures[failure.rawValue, default: 0] += 1 }
    }
    func targetLost() { state.withLock { $0.targetLosses += 1 } }
    func batchApplied(after latency: Duration) { state.withLock { $0.batches.note(latency) } }
    func sourceAnswered(after time: Duration) { state.withLock { $0.sourceRoundTrip = time } }

    func fullSyncBegan(_ reason: FullSyncReason?) {
        state.withLock { $0.fullSyncs[(reason?.kind ?? .first).rawValue, default: 0] += 1 }
    }

    func sourceHas(keys: Int?) { state.withLock { $0.sourceKeys = keys } }

    func targetAnswered(after time: Duration, keys: Int) {
        state.withLock { values in
            values.targetRoundTrip = time
            values.targetKeys = keys
            if values.targetKeysBefore == nil { values.targetKeysBefore = keys }
        }
    }
}

/// What an error that ends a session is about: the event that it is logged with.
package enum SessionFailure: String, CaseIterable, Sendable {
    case sourceLost, targetLost
    /// There is no room left for what waits for the target.
    case overflow
    /// What the stream has brought is not all that the source holds.
    case resync

    init(_ error: ReplicationError) {
        self =
            switch error.code {
            case .overflow: .overflow
            case .target, .targetChanged: .targetLost
            case .recordsLost, .dataReplaced: .resync
            default: .sourceLost
            }
    }
}

/// How often something took how long.
package struct LatencyHistogram: Equatable, Sendable {
    /// Upper ends of the buckets; what took longer is in one more.
    package static let bounds: [Duration] = [
        .microseconds(500), .milliseconds(1), .microseconds(2500), .milliseconds(5), .milliseconds(10),
        .milliseconds(25), .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1),
        .milliseconds(2500), .seconds(5), .seconds(10),
    ]

    /// By bucket, each by itself.
    package private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
    package private(set) var sum = Duration.zero

    package init() {}

    package var count: Int { counts.reduce(0, +) }

    package mutating func note(_ time: Duration) {
        counts[Self.bounds.firstIndex { time <= $0 } ?? Self.bounds.count] += 1
        sum += time
    }
}
