import DequeModule
package import Dispatch
import Dragonfly
import Glibc
package import Link

/// Everything that a flow has delivered and the applier has not decoded yet, first in memory, then on disk.
///
/// ```
///  consumer ◀── head (memory) ◀── spool (disk) ◀── tail (memory) ◀── producer
///                                      ▲ spooler ───┘ full slabs, while memory is short
/// ```
/// The flow's queue puts bytes in and the applier's queue takes them out, in order. The intake's own queue writes to the
/// disk, so a slow disk delays nobody. If the budget is spent, or if the disk is slower than the source for longer than the
/// memory lasts, `receive` returns `false` and the flow must be given up. The intake never waits, not even briefly: if a
/// flow is not read, the source makes its own clients wait.
package final class Intake: FlowReceiver {
    private struct State {
        var head = Deque<Slab>()
        var tail = Deque<Slab>()
        var spare: [Slab] = []
        var spool: SpoolFile?
        var spoolStart: UInt64 = 0
        var spoolEnd: UInt64 = 0
        /// The arrival times of each slab on disk, which ends at `end`.
        var arrivals = Deque<(end: UInt64, oldest: Int64, newest: Int64)>()
        var queuedBytes = 0
        var receivedBytes: UInt64 = 0
        var received = ArrivalLog()
        var hasEnded = false
        var isConsumerWaiting = true
        var isSpooling = false
        /// Why the last write to the disk failed.
        var diskFailure: IntakeShortage?
        /// Why `receive` returned `false`.
        var refusal: IntakeShortage?

        var isSpoolEmpty: Bool { spoolStart == spoolEnd }
        var slabCount: Int { head.count + tail.count + spare.count }
    }

    private let state = Lock(State())
    private let budget: SpoolBudget
    private let spoolDirectory: String?
    private let clock: @Sendable () -> Int64
    private let onData = Lock<DataHandler?>(nil)
    private let spooler: DispatchQueue
    private let segmentBytes: Int

    /// A closure wrapped in a struct. Stored directly in a generic type, it would be wrapped in one more thunk at each
    /// access.
    private struct DataHandler {
        let call: @Sendable () -> Void
    }

    /// - Parameters:
    ///   - spoolDirectory: the folder for bytes that do not fit into memory; `nil` if there is none.
    ///   - spooler: the queue that writes to the disk.
    ///   - clock: returns the Unix time in milliseconds.
    package init(
        budget: SpoolBudget, spoolDirectory: String?, segmentBytes: Int? = nil,
        spooler: DispatchQueue = DispatchQueue(label: "df2redis.spooler"), clock: @escaping @Sendable () -> Int64
    ) {
        self.budget = budget
        self.spoolDirectory = budget.diskBytes > 0 ? spoolDirectory : nil
        self.segmentBytes = segmentBytes ?? SpoolFile.defaultSegmentBytes
        self.spooler = spooler
        self.clock = clock
    }

    deinit { state.withLock { budget.releaseMemory($0.slabCount * Slab.capacity) } }

    /// Sets a handler that is called on the flow's queue when something has arrived after the consumer found nothing.
    package func setDataHandler(_ handler: @escaping @Sendable () -> Void) {
        onData.withLock { $0 = DataHandler(call: handler) }
    }

    /// The number of bytes that wait to be decoded, in memory and on disk.
    package var queuedBytes: Int { state.withLock { $0.queuedBytes } }
    /// The number of waiting bytes that are on disk.
    package var spooledBytes: Int { state.withLock { Int($0.spoolEnd - $0.spoolStart) } }

    /// The state of the intake at one moment.
    package struct Figures: Equatable, Sendable {
        package var receivedBytes: UInt64
        /// The number of bytes that wait to be decoded, in memory and on disk.
        package var queuedBytes: Int
        /// The number of waiting bytes that are on disk.
        package var spooledBytes: Int
        /// How long ago the oldest byte arrived that is not applied; zero if everything is applied.
        package var age: Duration
    }

    /// - Parameter applied: the number of the flow's bytes that have been applied.
    package func figures(applied: UInt64, now: ContinuousClock.Instant = .now) -> Figures {
        state.withLock { state in
            let oldest = state.received.oldest(behind: applied)
            return Figures(
                receivedBytes: state.receivedBytes, queuedBytes: state.queuedBytes,
                spooledBytes: Int(state.spoolEnd - state.spoolStart),
                age: oldest.map { max($0.duration(to: now), .zero) } ?? .zero)
        }
    }

    /// The Unix time in milliseconds at which the oldest bytes arrived that wait to be decoded; `nil` if none wait.
    package var oldestArrival: Int64? {
        state.withLock { state in
            guard state.queuedBytes > 0 else { return nil }
            if let slab = state.head.first(where: { !$0.untaken.isEmpty }) { return slab.oldestArrival }
            if !state.isSpoolEmpty, let first = state.arrivals.first(where: { $0.end > state.spoolStart }) {
                return first.oldest
            }
            return state.tail.first(where: { !$0.untaken.isEmpty })?.oldestArrival
        }
    }

    /// Why `receive` returned `false`, or will return it once memory is spent.
    package var failure: IntakeShortage? { state.withLock { $0.refusal ?? $0.diskFailure } }

    // MARK: The producer

    package func receive(_ body: (UnsafeMutableRawBufferPointer) -> Int) -> Bool {
        guard let slab = slabToFill() else { return false }
        let count = body(slab.room)
        guard count > 0 else { return true }
        commit { state in
            let now = clock()
            if slab.untaken.isEmpty { slab.oldestArrival = now }
            slab.arrivedAt = now
            slab.filled += count
            state.queuedBytes += count
            state.receivedBytes += UInt64(count)
            state.received.received(upTo: state.receivedBytes, at: .now)
        }
        return true
    }

    /// Returns the slab to read into.
    ///
    /// - Returns: `nil` if memory is spent and the disk does not take enough.
    private func slabToFill() -> Slab? {
        state.withLock { state in
            let last = state.tail.last ?? (state.isSpoolEmpty ? state.head.last : nil)
            if let last, !last.isFull { return last }
            startSpoolingIfNeeded(&state)
            // Bytes that arrive after bytes on disk must go to the tail. So must bytes that arrive while memory is short,
            // because they are for the disk.
            let isForTail =
                !state.isSpoolEmpty || !state.tail.isEmpty || (spoolDirectory != nil && budget.isMemoryShort)
            guard let slab = newSlab(&state, isGuaranteed: isForTail ? state.tail.count < 2 : state.head.isEmpty)
            else {
                let reason =
                    spoolDirectory == nil
                    ? "spool.memoryBytes is spent" : "spool.memoryBytes is spent, the disk is slow"
                state.refusal = state.diskFailure ?? .limit(reason)
                return nil
            }
            if isForTail { state.tail.append(slab) } else { state.head.append(slab) }
            return slab
        }
    }

    private func newSlab(_ state: inout State, isGuaranteed: Bool) -> Slab? {
        if let spare = state.spare.popLast() {
            (spare.filled, spare.taken) = (0, 0)
            return spare
        }
        return budget.reserveMemory(Slab.capacity, isGuaranteed: isGuaranteed) ? Slab() : nil
    }

    private func commit(_ change: (inout State) -> Void) {
        let wakes = state.withLock { state in
            change(&state)
            defer { state.isConsumerWaiting = false }
            return state.isConsumerWaiting
        }
        if wakes { onData.withLock { $0 }?.call() }
    }

    package func endOfFlow() { commit { $0.hasEnded = true } }

    // MARK: The spooler

    private func startSpoolingIfNeeded(_ state: inout State) {
        guard spoolDirectory != nil, !state.isSpooling, budget.isMemoryShort, state.tail.first?.isFull == true else {
            return
        }
        state.isSpooling = true
        spooler.async { [weak self] in self?.spool() }
    }

    /// Writes full slabs of the tail to the disk while memory is short.
    private func spool() {
        guard let spoolDirectory else { return }
        while true {
            let next: (slab: Slab, file: SpoolFile, offset: UInt64)? = state.withLock { state in
                guard budget.isMemoryShort, let slab = state.tail.first, slab.isFull else {
                    state.isSpooling = false
                    return nil
                }
                let file =
                    state.spool ?? SpoolFile(directory: spoolDirectory, budget: budget, segmentBytes: segmentBytes)
                state.spool = file
                return (slab, file, state.spoolEnd)
            }
            guard let (slab, file, offset) = next else { return }
            do throws(IntakeShortage) {
                try file.write(UnsafeRawBufferPointer(slab.memory), at: offset)
            } catch {
                // The bytes stay in memory. Later slabs try again, because the consumer may have made room.
                return state.withLock { ($0.diskFailure, $0.isSpooling) = (error, false) }
            }
            state.withLock { state in
                // If the consumer has reached this slab meanwhile, the bytes on disk are not needed.
                guard state.tail.first === slab else { return }
                state.tail.removeFirst()
                state.spoolEnd += UInt64(Slab.capacity)
                state.arrivals.append((state.spoolEnd, slab.oldestArrival, slab.arrivedAt))
                state.diskFailure = nil
                budget.releaseMemory(Slab.capacity)
            }
        }
    }

    // MARK: The consumer

    package enum Next {
        case chunk(IntakeChunk)
        /// There is nothing now; the data handler will be called.
        case empty
        /// The flow has ended, and everything has been taken.
        case end
        case failed(SystemError)
    }

    /// How the next bytes are come by.
    private enum Step {
        case done(Next)
        case readSpool(SpoolFile, offset: UInt64, count: Int, arrivals: (oldest: Int64, newest: Int64))
    }

    /// Returns the next bytes, in order. They stay valid as long as the chunk is kept.
    package func next() -> Next {
        var emptied: SpoolFile?
        let step = state.withLock { state in
            while true {
                if let chunk = nextInMemory(&state) { return Step.done(.chunk(chunk)) }
                if let step = nextOnDisk(&state) { return step }
                if state.tail.isEmpty { break }
                swap(&state.head, &state.tail)
            }
            emptied = dropSpool(&state)
            if state.hasEnded { return .done(.end) }
            state.isConsumerWaiting = true
            return .done(.empty)
        }
        // The file is deleted outside of the lock, because the producer must not wait for the file system.
        withExtendedLifetime(emptied) {}
        switch step {
        case .done(let next): return next
        case .readSpool(let spool, let offset, let count, let arrivals):
            return read(spool, at: offset, count: count, arrivals: arrivals)
        }
    }

    private func nextInMemory(_ state: inout State) -> IntakeChunk? {
        while let slab = state.head.first {
            if !slab.untaken.isEmpty {
                let range = slab.untaken
                slab.taken = slab.filled
                state.queuedBytes -= range.count
                return IntakeChunk(
                    slab: slab, range: range, arrivedAt: slab.arrivedAt, oldestArrival: slab.oldestArrival)
            }
            guard slab.isFull || !state.isSpoolEmpty || !state.tail.isEmpty else { break }
            recycle(state.head.removeFirst(), &state)
        }
        return nil
    }

    private func nextOnDisk(_ state: inout State) -> Step? {
        guard !state.isSpoolEmpty, let spool = state.spool else { return nil }
        while let first = state.arrivals.first, first.end <= state.spoolStart { state.arrivals.removeFirst() }
        let (end, oldest, newest) = state.arrivals.first ?? (state.spoolEnd, 0, 0)
        return .readSpool(
            spool, offset: state.spoolStart, count: min(Int(end - state.spoolStart), Slab.capacity),
            arrivals: (oldest, newest))
    }

    /// Everything on the disk has been read.
    ///
    /// - Returns: the file, to be let go of; `nil` when there is none, or it is being written.
    private func dropSpool(_ state: inout State) -> SpoolFile? {
        if state.isSpooling { return nil }
        defer {
            state.spool = nil
            (state.spoolStart, state.spoolEnd, state.arrivals) = (0, 0, [])
        }
        return state.spool
    }

    private func read(
        _ spool: SpoolFile, at offset: UInt64, count: Int, arrivals: (oldest: Int64, newest: Int64)
    ) -> Next {
        // This slab exceeds the budget; only the consumer holds it.
        let slab = Slab()
        do throws(SystemError) {
            let read = try spool.read(into: UnsafeMutableRawBufferPointer(rebasing: slab.memory[..<count]), at: offset)
            state.withLock {
                $0.spoolStart += UInt64(read)
                $0.queuedBytes -= read
            }
            return .chunk(
                IntakeChunk(
                    slab: slab, range: 0..<read, arrivedAt: arrivals.newest, oldestArrival: arrivals.oldest))
        } catch {
            return .failed(error)
        }
    }

    /// Keeps a slab that was taken out completely for reuse, unless the consumer may still hold it.
    private func recycle(_ slab: Slab, _ state: inout State) {
        var slab = slab
        if state.spare.isEmpty, !budget.isMemoryShort, isKnownUniquelyReferenced(&slab) {
            state.spare.append(slab)
        } else {
            budget.releaseMemory(Slab.capacity)
        }
    }
}
