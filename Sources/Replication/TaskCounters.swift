import Link

/// The counters of a task since its process began, over all its sessions. They never decrease. Values that
/// are measured from time to time have their last value.
package final class TaskCounters: Sendable {
    package struct Values: Equatable, Sendable {
        /// Sessions that got as far as a sync.
        package var sessions = 0
        /// Full syncs that have begun, by `FullSyncKind`.
        package var fullSyncs: [String: Int] = [:]
        /// Sessions that ended with an error, by `SessionFailure`.
        package var sessionFailures: [String: Int] = [:]
        /// How often the target stopped serving during a session.
        package var targetLosses = 0
        /// The time that the target took for each batch, from the batch's first byte to the reply to its `EXEC`.
        package var batches = LatencyHistogram()
        package var sourceRoundTrip: Duration?
        package var targetRoundTrip: Duration?
        /// The number of the source's keys when the last full sync began; `nil` if the source has not reported it.
        package var sourceKeys: Int?
        /// The number of the target's keys in all databases, at this process's first poll.
        package var targetKeysBefore: Int?
        /// The same at the last poll.
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

    /// The target's keys are counted again: the count of before the full sync would only mislead.
    func fullSyncEnded() { state.withLock { $0.targetKeys = nil } }

    func targetAnswered(after time: Duration, keys: Int) {
        state.withLock { values in
            values.targetRoundTrip = time
            values.targetKeys = keys
            if values.targetKeysBefore == nil { values.targetKeysBefore = keys }
        }
    }
}
