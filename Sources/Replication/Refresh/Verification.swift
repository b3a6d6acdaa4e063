import Base

/// The pass over both sides that an operator has asked for: one at a time, through all sessions of the process.
///
/// ```
/// idle ─begin─▶ waiting ─take─▶ comparing ─compared─▶ mending ─▶ done
///                  ▲               │ │                all keys that were asked for are read and written
///                  └─ interrupted ─┘ └─ stopped, failed
/// ```
package final class Verification: Sendable {
    package enum Phase: String, Sendable {
        case idle
        /// The session is not stable, or removes what the source no longer has.
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
        /// Of the passes of this process, from 1.
        package var number = 0
        package var phase = Phase.idle
        package var keysPerSecond = 0
        package var progress = Scrub.Progress(keys: 0, expectedKeys: 0)
        /// Keys that were different.
        package var found = 0
        /// Of those, keys that only the target has, in a database that others write to as well: they stay.
        package var foreign = 0
        /// Of those, keys of which it is not known which shard of the source has them.
        package var unplaced = 0
        /// Of those, keys that the queue had no room for.
        package var leftOut = 0
        /// Keys that are still to be read.
        package var waiting = 0
        /// Keys that have changed each time they were read.
        package var changing = 0
        /// Keys that could not be read or written meanwhile.
        package var failed = 0
        /// Why both sides cannot be compared at present, or could not.
        package var failure: String?
        /// The exit status that goes with `failure`.
        package var exitStatus: Int32 = 0
        /// When it was over, in Unix milliseconds; `nil`: it is not.
        package var finishedAt: Int64?

        package init() {}

        /// What was found and could not be mended.
        package var remaining: Int { unplaced + leftOut + changing + failed }
        package var mended: Int { max(0, found - foreign - remaining) }
    }

    private struct State {
        var figures = Figures()
        /// Keys that had failed before it began.
        var failedBefore = 0
        /// What was asked for in the pass comes before it.
        var mark: UInt64 = 0
        var stop: (@Sendable () -> Void)?
        /// It has been begun before, and could not be ended.
        var isTriedAgain = false

        mutating func end(_ phase: Phase) {
            figures.phase = phase
            figures.finishedAt = WallClock.milliseconds()
        }
    }

    private let state = Lock(State())
    private let queue: RefreshQueue
    private let failures: @Sendable () -> Int

    /// - Parameter failures: keys that could not be written to the target since the process began.
    init(_ queue: RefreshQueue, failures: @escaping @Sendable () -> Int) {
        self.queue = queue
        self.failures = failures
    }

    // MARK: The operator

    /// - Returns: whether it was under way already, at the pace that it has.
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

    /// Ends pass `number`, if that is the one under way. What it has found is mended nevertheless.
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

    /// What is to be done now.
    struct Order: Equatable {
        var keysPerSecond: Int
        /// The pass has been begun before, and whoever watches knows of it.
        var isTriedAgain = false
    }

    /// - Parameter stop: ends the pass early.
    /// - Returns: `nil`: no pass is to be made.
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

    func noteProgress(_ progress: Scrub.Progress) { state.withLock { $0.figures.progress = progress } }

    func found(_ fate: ScrubRecord.Fate) {
        state.withLock { state in
            state.figures.found += 1
            switch fate {
            case .asked: break
            case .foreign: state.figures.foreign += 1
            case .unplaced: state.figures.unplaced += 1
            case .leftOut: state.figures.leftOut += 1
            }
        }
    }

    /// Every key has been compared.
    func compared() {
        let mark = queue.mark
        state.withLock { state in
            state.stop = nil
            guard state.figures.phase == .comparing else { return }
            state.figures.phase = .mending
            state.mark = mark
        }
    }

    /// The pass is to be made again, in the next session or a little later.
    func interrupted(_ failure: Scrub.Failure?) {
        state.withLock { state in
            state.stop = nil
            guard state.figures.phase == .comparing else { return }
            state.figures.phase = .waiting
            state.figures.failure = failure?.description
        }
    }

    /// Both sides cannot be compared, before an operator has done something about it.
    func failed(_ failure: Scrub.Failure) {
        state.withLock { state in
            state.stop = nil
            guard state.figures.phase == .comparing else { return }
            state.end(.failed)
            state.figures.failure = failure.description
            state.figures.exitStatus = failure.exitStatus
        }
    }
}
