import Base
package import Dragonfly

/// The streams of the source that have groups of consumers, where a group's reads leave no record (before v1.37): what the
/// target has of them grows old, until they are read at the source at a leave or a cut-over.
///
/// They come by the snapshot and by the records of groups; where a session resumes at a checkpoint, by a walk over the
/// source's streams (`SessionStreams`). Bounded: what there is no room for is counted. Used from every flow's queue.
package final class ConsumedStreams: Sendable {
    package struct Figures: Equatable, Sendable {
        /// Streams that are known.
        package var count = 0
        /// Streams, some of them more than once, that there was no room for, or whose flow is not known.
        package var leftOut = 0
        /// Every stream with a group is known, but for those left out.
        package var isComplete = true
        /// The source's streams are being walked.
        package var isWalking = false

        package init() {}
    }

    private struct State {
        var flows: [RefreshKey: FlowID] = [:]
        var bytes = 0
        var leftOut = 0
        /// Groups' reads leave no record.
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

    /// A session begins to follow.
    ///
    /// - Parameters:
    ///   - isNeeded: groups' reads leave no record in this source's journal.
    ///   - isFullSync: every stream is about to come.
    package func begin(isNeeded: Bool, isFullSync: Bool) {
        state.withLock { state in
            if isFullSync || !isNeeded { state = State() }
            state.isNeeded = isNeeded
            state.isComplete = state.isComplete || isFullSync
        }
    }

    /// A stream with a group, or of which a record says that it has one.
    ///
    /// - Parameter flow: `nil`: it is not known which one it comes by.
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

    /// `destination`, of the same flow, gets the groups that the target has of `key`.
    func handOn(_ key: RefreshKey, to destination: RefreshKey) {
        guard let flow = state.withLock({ $0.flows[key] }) else { return }
        note(destination, flow: flow)
    }

    /// - Returns: `false` when every stream is known.
    package func beginWalk() -> Bool {
        state.withLock { state in
            state.isWalking = state.isNeeded && !state.isComplete
            return state.isWalking
        }
    }

    /// - Parameter isComplete: the source's streams have been walked.
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

    /// What is to be read at the source.
    package var requests: [RefreshRequest] {
        state.withLock { $0.flows.map { RefreshRequest($0.key, flow: $0.value, origin: .group) } }
    }
}
