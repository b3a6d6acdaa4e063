import DequeModule
import Dragonfly
package import Link

/// Everything a flow has delivered and the applier has not decoded yet: first in memory, then on disk.
///
/// The flow's queue puts in, the applier's queue takes out, in order. While something is on disk everything new goes
/// there too; once it has been read, memory serves again. When both budgets are spent `receive` answers `false`: the
/// flow must be left rather than made to wait.
package final class Intake: FlowReceiver {
    private struct State {
        var slabs = Deque<Slab>()
        var spare: [Slab] = []
        var spool: SpoolFile?
        var spoolStart: UInt64 = 0
        var spoolEnd: UInt64 = 0
        var spoolArrivals = Deque<(end: UInt64, arrivedAt: Int64)>()
        var queuedBytes = 0
        var hasEnded = false
        var isConsumerWaiting = true
        var failure: SystemError?
    }

    private let state = Lock(State())
    private let budget: SpoolBudget
    private let spoolDirectory: String?
    private let clock: @Sendable () -> Int64
    private let onData = Lock<DataHandler?>(nil)

    /// A closure in a struct: bare in a generic type it would be wrapped in one more thunk at each access.
    private struct DataHandler {
        let call: @Sendable () -> Void
    }

    /// - Parameters:
    ///   - spoolDirectory: where what does not fit into memory goes; `nil`: nowhere.
    ///   - clock: Unix time in milliseconds.
    package init(budget: SpoolBudget, spoolDirectory: String?, clock: @escaping @Sendable () -> Int64) {
        self.budget = budget
        self.spoolDirectory = spoolDirectory
        self.clock = clock
    }

    deinit {
        state.withLock { budget.giveBackMemory(($0.slabs.count + $0.spare.count) * Slab.capacity) }
    }

    /// Called, on the flow's queue, when the consumer has found nothing before and there is something now.
    package func setDataHandler(_ handler: @escaping @Sendable () -> Void) {
        onData.withLock { $0 = DataHandler(call: handler) }
    }

    /// Bytes that wait to be decoded.
    package var queuedBytes: Int { state.withLock { $0.queuedBytes } }
    package var spooledBytes: Int { state.withLock { Int($0.spoolEnd - $0.spoolStart) } }

    /// Why `receive` answered `false`.
    package var failure: SystemError? { state.withLock { $0.failure } }

    // MARK: The producer

    package func receive(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool {
        if let slab = slabToFill() {
            let count = body(slab.room)
            if count > 0 {
                commit { state in
                    slab.filled += count
                    slab.arrivedAt = clock()
                    state.queuedBytes += count
                }
            }
            return true
        }
        return spill(body)
    }

    /// The slab to read into; `nil` when it has to be the disk.
    private func slabToFill() -> Slab? {
        state.withLock { state in
            guard state.spoolEnd == state.spoolStart else { return nil }
            if let last = state.slabs.last, !last.isFull { return last }
            guard let slab = state.spare.popLast() ?? (budget.takeMemory(Slab.capacity) ? Slab() : nil) else {
                return nil
            }
            (slab.filled, slab.taken) = (0, 0)
            state.slabs.append(slab)
            return slab
        }
    }

    private func commit(_ change: (inout State) -> Void) {
        let wakes = state.withLock { state in
            change(&state)
            defer { state.isConsumerWaiting = false }
            return state.isConsumerWaiting
        }
        if wakes { onData.withLock { $0 }?.call() }
    }

    private func spill(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool {
        guard let spoolDirectory else {
            return fail(SystemError("write", errno: 28, peer: "the intake (spool.memoryBytes is spent)"))
        }
        let (spool, offset) = state.withLock { state in
            let spool = state.spool ?? SpoolFile(directory: spoolDirectory, budget: budget)
            state.spool = spool
            return (spool, state.spoolEnd)
        }
        return withUnsafeTemporaryAllocation(byteCount: Slab.capacity, alignment: 16) { buffer in
            let count = body(buffer)
            guard count > 0 else { return true }
            do throws(SystemError) {
                try spool.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            } catch {
                return fail(error)
            }
            commit { state in
                state.spoolEnd += UInt64(count)
                state.queuedBytes += count
                state.spoolArrivals.append((state.spoolEnd, clock()))
            }
            return true
        }
    }

    private func fail(_ error: SystemError) -> Bool {
        state.withLock { $0.failure = error }
        return false
    }

    package func endOfFlow() { commit { $0.hasEnded = true } }

    // MARK: The consumer

    package enum Next {
        case chunk(IntakeChunk)
        /// Nothing now; the data handler will be called.
        case empty
        /// Nothing ever more.
        case end
        case failed(SystemError)
    }

    /// The next bytes, in order. They stay valid as long as the chunk is kept.
    package func next() -> Next {
        enum Step {
            case done(Next)
            case readSpool(SpoolFile, offset: UInt64, count: Int, arrivedAt: Int64)
        }
        let step: Step = state.withLock { state in
            while let slab = state.slabs.first {
                if slab.taken < slab.filled {
                    let range = slab.taken..<slab.filled
                    slab.taken = slab.filled
                    state.queuedBytes -= range.count
                    return .done(.chunk(IntakeChunk(slab: slab, range: range, arrivedAt: slab.arrivedAt)))
                }
                guard slab.isFull || state.spoolEnd > state.spoolStart else { break }
                recycle(state.slabs.removeFirst(), &state)
            }
            if let spool = state.spool, state.spoolEnd > state.spoolStart {
                while let first = state.spoolArrivals.first, first.end <= state.spoolStart {
                    state.spoolArrivals.removeFirst()
                }
                let (end, arrivedAt) = state.spoolArrivals.first ?? (state.spoolEnd, 0)
                return .readSpool(
                    spool, offset: state.spoolStart, count: min(Int(end - state.spoolStart), Slab.capacity),
                    arrivedAt: arrivedAt)
            }
            if state.spool != nil {
                state.spool = nil
                (state.spoolStart, state.spoolEnd) = (0, 0)
                state.spoolArrivals = []
            }
            if state.hasEnded { return .done(.end) }
            state.isConsumerWaiting = true
            return .done(.empty)
        }
        switch step {
        case .done(let next): return next
        case .readSpool(let spool, let offset, let count, let arrivedAt):
            let slab = Slab()
            do throws(SystemError) {
                let read = try spool.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: slab.memory[..<count]), at: offset)
                state.withLock {
                    $0.spoolStart += UInt64(read)
                    $0.queuedBytes -= read
                }
                return .chunk(IntakeChunk(slab: slab, range: 0..<read, arrivedAt: arrivedAt))
            } catch {
                return .failed(error)
            }
        }
    }

    /// A slab that has been taken out whole may still be in the consumer's hands; it is filled again only if not.
    private func recycle(_ slab: Slab, _ state: inout State) {
        var slab = slab
        if state.spare.count < 2, isKnownUniquelyReferenced(&slab) {
            state.spare.append(slab)
        } else {
            budget.giveBackMemory(Slab.capacity)
        }
    }
}
