import Base

/// Where Ctrl-C no longer takes a cut-over back.
final class PointOfNoReturn: Sendable {
    private enum State { case open, interrupted, passed }

    private let state = Lock(State.open)

    var isInterrupted: Bool { state.withLock { $0 == .interrupted } }

    /// - Returns: `false` when it is too late.
    func interrupt() -> Bool {
        state.withLock { state in
            if state == .passed { return false }
            state = .interrupted
            return true
        }
    }

    /// - Returns: `false` when it was interrupted before.
    func pass() -> Bool {
        state.withLock { state in
            if state == .interrupted { return false }
            state = .passed
            return true
        }
    }
}
