import Base

/// How far a cut-over has come for whoever interrupts it, up to where Ctrl-C no longer takes it back.
final class PointOfNoReturn: Sendable {
    enum Stage: Equatable {
        /// Writers have not been paused.
        case untouched
        case paused
        case passed
    }

    private let state = Lock((stage: Stage.untouched, isInterrupted: false))

    var isInterrupted: Bool { state.withLock { $0.isInterrupted } }

    /// From here on there is a pause to lift.
    ///
    /// - Returns: `false` when it was interrupted before.
    func pause() -> Bool { enter(.paused) }

    /// - Returns: how far it had come; when it has `passed`, it goes on.
    func interrupt() -> Stage {
        state.withLock { state in
            if state.stage != .passed { state.isInterrupted = true }
            return state.stage
        }
    }

    /// - Returns: `false` when it was interrupted before.
    func pass() -> Bool { enter(.passed) }

    private func enter(_ stage: Stage) -> Bool {
        state.withLock { state in
            if state.isInterrupted { return false }
            state.stage = stage
            return true
        }
    }
}
