import Base

/// The stage of a cut-over, which decides what Ctrl-C can still undo.
final class CutoverProgress: Sendable {
    enum Stage: Equatable {
        /// Writers have not been paused.
        case untouched
        case paused
        case passed
    }

    private let state = Lock((stage: Stage.untouched, isInterrupted: false))

    var isInterrupted: Bool { state.withLock { $0.isInterrupted } }

    /// Enters the stage in which there is a pause to lift.
    ///
    /// - Returns: `false` if the cut-over was interrupted before.
    func pause() -> Bool { enter(.paused) }

    /// - Returns: the stage at the interruption; a cut-over that has `passed` continues.
    func interrupt() -> Stage {
        state.withLock { state in
            if state.stage != .passed { state.isInterrupted = true }
            return state.stage
        }
    }

    /// - Returns: `false` if the cut-over was interrupted before.
    func pass() -> Bool { enter(.passed) }

    private func enter(_ stage: Stage) -> Bool {
        state.withLock { state in
            if state.isInterrupted { return false }
            state.stage = stage
            return true
        }
    }
}
