import Base

/// The pass over both sides that an operator has requested. There is one at a time, and it spans all sessions of the
/// process.
///
/// ```
/// idle ─begin─▶ waiting ─take─▶ comparing ─compared─▶ mending ─▶ done
///                  ▲               │ │                all requested keys are read and written
///                  └─ interrupted ─┘ └─ stopped, failed
/// ```
package final class Verification: Sendable {
    package enum Phase: String, Sendable {
        case idle
        /// The session is not stable, or still removes keys that the source no longer has.
        case waiting
        case comparing
        /// Keys that were found to differ are read at the source.
        case mending
        case done
        case stopped
        case failed

        package var isOver: Bool {
            switch self {
            case .idle, .done, .stopped, .failed: true
            case .waiting, .comparing, .mending: false
            }
        }
    }

    package struct Figures: Equatable, Sendable {
        /// The number of the pass in this process, from 1.
        package var number = 0
        package var phase = Phase.idle
        package var keysPerSecond = 0
        package var progress = Verifier.Progress(keys: 0, expectedKeys: 0)
        /// The number of keys that were different.
        package var found = 0
        /// The different keys that only the target has, in a database to which others write as well. They stay.
        package var foreign = 0
        /// The different keys whose shard at the source is not known.
        package var unplaced = 0
        /// The different keys for which the queue had no room.
        package var leftOut = 0
        /// Keys that still have to be read.
        package var waiting = 0
        /// Keys that changed each time they were read.
        package var changing = 0
        /// Keys that could not be read or written meanwhile.
        package var failed = 0
        /// Why both sides cannot be compared, or could not.
        package var failure: String?
        /// The exit status that goes with `failure`.
        package var exitStatus: Int32 = 0
        /// When the pass ended, in Unix milliseconds; `nil` if it has not ended.
        package var finishedAt: Int64?

        package init() {}

        /// The different keys that could not be mended.
        package var remaining: Int { unplaced + leftOut + changing + failed }
        package var mended: Int { max(0, found - foreign - remaining) }
    }

    private struct State {
        var figures = Figures()
        /// The number of keys that had failed before the pass began.
        var failedBefore = 0
        /// The queue's mark after everything that the pass requested.
        var mark: UInt64 = 0
        var stop: (@Sendable () -> Void)?
        /// Whether the pass was begun before and could not be finished.
        var isTriedAgain = false

        mutating func end(_ phase: Phase) {
            figures.phase = phase
            figures.finishedAt = WallClock.milliseconds()
        }
    }

    private let state = Lock(State())
    private let queue: RefreshQueue
    private let failures: @Sendable () -> Int

    /// - Parameter failures: returns the number of keys that could not be written to the target since the process began.
    init(_ queue: RefreshQueue, failures: @escaping @Sendable () -> Int) {
        self.queue = queue
        self.failures = failures
    }

    // MARK: Requests by the operator

    /// Begins a pass unless one is running.
    ///
    /// - Returns: the figures, and whether a pass was already running, which keeps its pace.
    func begin(keysPerSecond: Int) -> (figures: Figures, isJoined: Bool) {
        let failed = failedKeys
        return state.withLock { state in
            update(&state, failed: failed)
            guard state.figures.phase.isOver else { return (state.figures, true) }
            var figures = Figures()
            figures.number = state.figures.number + 1
            figures.phase = .waiting
            figures.keysPerSecond = keysPerSecond
            state = State(figures: figures, failedBefore: failed)
            return (figures, false)
        }
    }

    /// Ends pass `number` if it is running. Keys that it has found are mended nevertheless.
    func stop(_ number: Int) {
        let stop = state.withLock { state -> (@Sendable () -> Void)? in
            guard state.figures.number == number, !state.figures.phase.isOver else { return nil }
            state.end(.stopped)
            return state.stop
        }
        stop?()
    }

    var figures: Figures {
        let failed = failedKeys
        return state.withLock { state in
            update(&state, failed: failed)
            return state.figures
        }
    }

    private var failedKeys: Int { queue.figures.failed + failures() }

    private func update(_ state: inout State, failed: Int) {
        guard !state.figures.phase.isOver else { return }
        let mark = state.figures.phase == .mending ? state.mark : queue.mark
        let outstanding = state.figures.found > 0 ? queue.outstanding(before: mark) : (waiting: 0, changing: 0)
        state.figures.waiting = outstanding.waiting
        state.figures.failed = max(0, failed - state.failedBefore - state.figures.leftOut)
        guard state.figures.phase == .mending, outstanding.waiting == 0 else { return }
        state.figures.changing = outstanding.changing
        state.end(.done)
    }

    // MARK: The session

    /// A pass that the session must make now.
    struct Order: Equatable {
        var keysPerSecond: Int
        /// Whether the pass was begun before, so that watchers know about it.
        var isTriedAgain = false
    }

    /// Takes the pass that waits.
    ///
    /// - Parameter stop: ends the pass early.
    /// - Returns: `nil` if no pass waits.
    func take(stop: @escaping @Sendable () -> Void) -> Order? {
        state.withLock { state in
            guard state.figures.phase == .waiting else { return nil }
            defer { state.isTriedAgain = true }
            state.figures.phase = .comparing
            state.figures.progress = .init(keys: 0, expectedKeys: 0)
            state.figures.failure = nil
            state.stop = stop
            return Order(keysPerSecond: state.figures.keysPerSecond, isTriedAgain: state.isTriedAgain)
        }
    }

    func noteProgress(_ progress: Verifier.Progress) { state.withLock { $0.figures.progress = progress } }

    func found(_ disposition: VerifierRecord.Disposition) {
        state.withLock { state in
            state.figures.found += 1
            switch disposition {
            case .asked: break
            case .foreign: state.figures.foreign += 1
            case .unplaced: state.figures.unplaced += 1
            case .leftOut: state.figures.leftOut += 1
            }
        }
    }

    /// Reports that every key has been compared.
    func compared() {
        let mark = queue.mark
        state.withLock { state in
            state.stop = nil
            guard state.figures.phase == .comparing else { return }
            state.figures.phase = .mending
            state.mark = mark
        }
    }

    /// Reports that the pass was interrupted. It is made again in the next session or a little later.
    func interrupted(_ failure: Verifier.Failure?) {
        state.withLock { state in
            state.stop = nil
            guard state.figures.phase == .comparing else { return }
            state.figures.phase = .waiting
            state.figures.failure = failure?.description
        }
    }

    /// Ends the pass because both sides cannot be compared until an operator does something about it.
    func failed(_ failure: Verifier.Failure) {
        state.withLock { state in
            state.stop = nil
            guard state.figures.phase == .comparing else { return }
            state.end(.failed)
            state.figures.failure = failure.description
            state.figures.exitStatus = failure.exitStatus
        }
    }
}
