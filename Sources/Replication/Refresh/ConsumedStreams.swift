import Base
package import Dragonfly

/// The source's streams that have consumer groups, if reads by a group leave no record in the journal (before v1.37). The
/// target's copies become outdated until they are read at the source at a leave or a cut-over.
///
/// The streams are found in the snapshot and in the records of groups. If a session resumes at a checkpoint, a walk over
/// the source's streams finds them (`SessionStreams`). The number of streams is limited; those beyond the limit are
/// counted. Used from every flow's queue.
package final class ConsumedStreams: Sendable {
    package struct Figures: Equatable, Sendable {
        /// The number of streams that are known.
        package var count = 0
        /// The number of streams, some counted more than once, for which there was no room or whose flow is not known.
        package var leftOut = 0
        /// Whether every stream with a group is known, except those left out.
        package var isComplete = true
        /// Whether the source's streams are being walked.
        package var isWalking = false

        package init() {}
    }

    private struct State {
        var flows: [RefreshKey: FlowID] = [:]
        var bytes = 0
        var leftOut = 0
        /// Whether reads by groups leave no record.
        var isNeeded = false
        var isComplete = false
        var isWalking = false
    }

    private let mostKeys: Int
    private let mostBytes: Int
    private let state = Lock(State())

    package init(mostKeys: Int = 100_000, mostBytes: Int = 16 << 20) {
        self.mostKeys = mostKeys
        self.mostBytes = mostBytes
    }

    /// Notes that a session begins to follow the source.
    ///
    /// - Parameters:
    ///   - isNeeded: whether reads by groups leave no record in this source's journal.
    ///   - isFullSync: whether every stream is about to arrive.
    package func begin(isNeeded: Bool, isFullSync: Bool) {
        state.withLock { state in
            if isFullSync || !isNeeded { state = State() }
            state.isNeeded = isNeeded
            state.isComplete = state.isComplete || isFullSync
        }
    }

    /// Notes a stream that has a group, or has one according to a record.
    ///
    /// - Parameter flow: the flow that brings the stream; `nil` if it is not known.
    package func note(_ key: RefreshKey, flow: FlowID?) {
        state.withLock { state in
            guard state.isNeeded, state.flows[key] == nil else { return }
            guard let flow, state.flows.count < mostKeys, state.bytes + key.key.count <= mostBytes else {
                return state.leftOut += 1
            }
            state.flows[key] = flow
            state.bytes += key.key.count
        }
    }

    /// Notes that `destination`, in the same flow, gets the groups that `key` has in the target.
    func transfer(_ key: RefreshKey, to destination: RefreshKey) {
        guard let flow = state.withLock({ $0.flows[key] }) else { return }
        note(destination, flow: flow)
    }

    /// Begins a walk over the source's streams.
    ///
    /// - Returns: `false` if no walk is needed, because every stream is known or reads leave records.
    package func beginWalk() -> Bool {
        state.withLock { state in
            state.isWalking = state.isNeeded && !state.isComplete
            return state.isWalking
        }
    }

    /// - Parameter isComplete: whether all of the source's streams have been walked.
    package func endWalk(isComplete: Bool) {
        state.withLock { state in
            state.isWalking = false
            state.isComplete = state.isComplete || isComplete
        }
    }

    package var figures: Figures {
        state.withLock { state in
            var figures = Figures()
            figures.count = state.flows.count
            figures.leftOut = state.leftOut
            figures.isWalking = state.isWalking
            figures.isComplete = !state.isNeeded || state.isComplete
            return figures
        }
    }

    /// Requests to read all known streams at the source.
    package var requests: [RefreshRequest] {
        state.withLock { $0.flows.map { RefreshRequest($0.key, flow: $0.value, origin: .group) } }
    }
}
