import Base

/// The stage of a cut-over, which decides what Ctrl-C can still undo.
final class CutoverProgress: Sendable {
    enum Stage: Equatable {
        /// Writers have not been paused.
        case notPaused
        case paused
        /// From here on the task leaves, and there is no way back.
        case committed
    }

    private let state = Lock((stage: Stage.notPaused, isInterrupted: false))

    var isInterrupted: Bool { state.withLock { $0.isInterrupted } }

    /// Enters the stage in which there is a pause to lift.
    ///
    /// - Returns: `false` if the cut-over was interrupted before.
    func pause() -> Bool { enter(.paused) }

    /// - Returns: the stage at the interruption; one that is `committed` continues.
    func interrupt() -> Stage {
        state.withLock { state in
            if state.stage != .committed { state.isInterrupted = true }
            return state.stage
        }
    }

    /// - Returns: `false` if the cut-over was interrupted before.
    func commit() -> Bool { enter(.committed) }

    private func enter(_ stage: Stage) -> Bool {
        state.withLock { state in
            if state.isInterrupted { return false }
            state.stage = stage
            return true
        }
    }
}
