import Dispatch
import Foundation
import Lab
import Testing

@testable import Replication

/// Bytes that repeat with a prime period, so that any loss, doubling or change of order shows.
private struct Pattern {
    private static let period = 65_521
    private static let bytes: [UInt8] = {
        var numbers = SeededNumbers(state: 1)
        let once = (0..<period).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
        return once + once
    }()

    private(set) var position: UInt64 = 0

    mutating func fill(_ room: UnsafeMutableRawBufferPointer, _ count: Int) -> Int {
        let count = min(count, room.count)
        forEachPiece(of: count) { offset, expected in
            UnsafeMutableRawBufferPointer(rebasing: room[offset...]).copyMemory(from: expected)
            return true
        }
        return count
    }

    /// - Returns: `false` when the bytes are not those that come next.
    mutating func matches(_ bytes: RawSpan) -> Bool {
        bytes.withUnsafeBytes { bytes in
            forEachPiece(of: bytes.count) { offset, expected in
                memcmp(bytes.baseAddress! + offset, expected.baseAddress!, expected.count) == 0
            }
        }
    }

    @discardableResult
    private mutating func forEachPiece(of count: Int, _ body: (Int, UnsafeRawBufferPointer) -> Bool) -> Bool {
        var offset = 0
        while offset < count {
            let start = Int(position % UInt64(Self.period))
            let piece = min(count - offset, Self.period)
            let isRight = Self.bytes.withUnsafeBytes {
                body(offset, UnsafeRawBufferPointer(rebasing: $0[start..<(start + piece)]))
            }
            guard isRight else { return false }
            offset += piece
            position += UInt64(piece)
        }
        return true
    }
}

/// One side of an intake that a test drives by hand.
private final class Harness {
    let folder: TemporaryFolder
    let budget: SpoolBudget
    let intake: Intake
    var written = Pattern()
    var seen = Pattern()

    init(
        memory: Int, disk: Int, folder: TemporaryFolder? = nil, segmentBytes: Int = 1 << 20,
        spooler: DispatchQueue = DispatchQueue(label: "spooler")
    ) throws {
        self.folder = try folder ?? TemporaryFolder("intake")
        budget = SpoolBudget(memoryBytes: memory, diskBytes: disk)
        intake = Intake(
            budget: budget, spoolDirectory: self.folder.path, segmentBytes: segmentBytes, spooler: spooler,
            clock: { 1000 })
    }

    /// Puts in `count` bytes in reads of at most `piece`.
    ///
    /// - Parameter isAtDiskPace: as from a source that is no faster than the disk, as long as the disk takes anything.
    /// - Returns: `false` when the intake took no more.
    func put(_ count: Int, piece: Int = 50_000, isAtDiskPace: Bool = true) throws -> Bool {
        let end = written.position + UInt64(count)
        while written.position < end {
            let want = min(piece, Int(end - written.position))
            guard intake.receive({ self.written.fill($0, want) }) else { return false }
            guard isAtDiskPace, budget.usedMemoryBytes > budget.memoryBytes else { continue }
            try wait(until: "the disk has taken some", every: .microseconds(100)) {
                budget.usedMemoryBytes <= budget.memoryBytes || intake.failure != nil
            }
        }
        return true
    }

    /// Takes out what there is, up to `limit` bytes.
    ///
    /// - Throws: when bytes are wrong or cannot be read.
    func take(_ limit: Int = .max) throws {
        let end = limit == .max ? UInt64.max : seen.position + UInt64(limit)
        while seen.position < end {
            switch intake.next() {
            case .chunk(let chunk):
                let isRight = chunk.withBytes(from: 0) { self.seen.matches($0) }
                try #require(isRight, "order at \(seen.position)")
            case .empty, .end: return
            case .failed(let error): throw error
            }
        }
    }
}

@Suite struct `The intake` {
    private static let mebibyte = 1 << 20

    @Test func `keeps bytes in memory while the consumer keeps up`() throws {
        let harness = try Harness(memory: 4 * Self.mebibyte, disk: 64 * Self.mebibyte)
        for _ in 0..<200 {
            #expect(try harness.put(100_000))
            try harness.take()
            #expect(harness.intake.spooledBytes == 0)
        }
        #expect(harness.seen.position == 20_000_000)
        #expect(harness.budget.usedMemoryBytes <= Self.mebibyte)
        #expect(harness.budget.usedDiskBytes == 0)
    }

    @Test func `returns bytes in order through memory, disk and memory again`() throws {
        let harness = try Harness(memory: 2 * Self.mebibyte, disk: 64 * Self.mebibyte)
        for _ in 0..<3 {
            #expect(try harness.put(20 * Self.mebibyte))
            #expect(harness.intake.queuedBytes == 20 * Self.mebibyte)
            let intake = harness.intake
            try wait(until: "most of it is on disk") { intake.spooledBytes > 16 * Self.mebibyte }
            try harness.take(7 * Self.mebibyte)
            #expect(try harness.put(3 * Self.mebibyte, piece: 7000))
            try harness.take()
            #expect(harness.seen.position == harness.written.position)
            #expect(harness.intake.queuedBytes == 0)
            #expect(harness.intake.spooledBytes == 0)
        }
    }

    /// The producer is this test's thread, and nothing frees memory: if the intake waited, the test would hang.
    @Test(arguments: [1, 32, 64])
    func `never waits for a hanging disk: it fills memory, and then takes no more`(memory: Int) throws {
        let spooler = DispatchQueue(label: "a disk that stands still")
        spooler.suspend()
        let harness = try Harness(memory: memory * Self.mebibyte, disk: 256 * Self.mebibyte, spooler: spooler)
        let limit = max(memory * Self.mebibyte, memory * Self.mebibyte / 2 + 16 * Self.mebibyte)
        #expect(try harness.put(limit, isAtDiskPace: false))
        #expect(try !harness.put(3 * Slab.capacity, isAtDiskPace: false))
        #expect("\(harness.intake.failure as Any)".contains("spool.memoryBytes is spent, the disk is slow"))
        #expect(harness.budget.usedMemoryBytes <= limit + 2 * Slab.capacity)

        spooler.resume()
        let (intake, budget) = (harness.intake, harness.budget)
        try wait(until: "what is over half of the budget is on disk") {
            budget.usedMemoryBytes <= max(memory * Self.mebibyte / 2, 2 * Slab.capacity)
        }
        #expect(intake.spooledBytes > 0)
        #expect("\(intake.failure as Any)".contains("the disk is slow"), "the cause is told later than it passes")
        #expect(try harness.put(Self.mebibyte))
        try harness.take()
        #expect(harness.seen.position == harness.written.position)
    }

    @Test func `writes to disk before memory is full`() throws {
        let harness = try Harness(memory: 8 * Self.mebibyte, disk: 64 * Self.mebibyte)
        #expect(try harness.put(5 * Self.mebibyte, isAtDiskPace: false))
        let intake = harness.intake
        try wait(until: "some of it is on disk") { intake.spooledBytes > 0 }
        try harness.take()
        #expect(harness.seen.position == harness.written.position)
    }

    @Test func `frees disk space segment by segment as it is read, and all of it at the end`() throws {
        let harness = try Harness(memory: Self.mebibyte, disk: 64 * Self.mebibyte)
        #expect(try harness.put(20 * Self.mebibyte))
        let (intake, budget) = (harness.intake, harness.budget)
        try wait(until: "it is on disk") { intake.spooledBytes >= 18 * Self.mebibyte }
        let full = budget.usedDiskBytes
        #expect(full >= 18 * Self.mebibyte)
        try harness.take(10 * Self.mebibyte)
        #expect(budget.usedDiskBytes <= full - 7 * Self.mebibyte)
        try harness.take()
        try wait(until: "the spooler rests") {
            try harness.take()
            return budget.usedDiskBytes == 0
        }
        #expect(budget.usedMemoryBytes <= Self.mebibyte)
    }

    @Test func `returns its budget when it is released`() throws {
        var harness: Harness? = try Harness(memory: Self.mebibyte, disk: 64 * Self.mebibyte)
        #expect(try harness?.put(10 * Self.mebibyte) == true)
        let budget = try #require(harness?.budget)
        #expect(budget.usedMemoryBytes > 0)
        harness = nil
        try wait(until: "the budget is free") { budget.usedDiskBytes == 0 && budget.usedMemoryBytes == 0 }
    }

    @Test func `names the setting to raise when both budgets are spent, and still returns its bytes`() throws {
        let harness = try Harness(memory: Self.mebibyte, disk: 4 * Self.mebibyte)
        #expect(try !harness.put(40 * Self.mebibyte))
        #expect("\(harness.intake.failure as Any)".contains("spool.diskBytes is spent"))
        #expect(harness.written.position >= UInt64(4 * Self.mebibyte))
        try harness.take()
        #expect(harness.seen.position == harness.written.position)
    }

    @Test func `without a disk is limited by memory`() throws {
        let budget = SpoolBudget(memoryBytes: Self.mebibyte, diskBytes: 0)
        let intake = Intake(budget: budget, spoolDirectory: "/nowhere", clock: { 0 })
        var taken = 0
        while intake.receive({ room in
            taken += room.count
            return room.count
        }) {}
        #expect(taken == Self.mebibyte)
        #expect("\(intake.failure as Any)".contains("spool.memoryBytes is spent"))
    }

    @Test func `loses nothing received if the disk fails`() throws {
        let folder = try TemporaryFolder("intake")
        let harness = try Harness(memory: Self.mebibyte, disk: 64 * Self.mebibyte, folder: folder)
        folder.remove()
        #expect(try !harness.put(40 * Self.mebibyte))
        #expect("\(harness.intake.failure as Any)".contains("open"))
        #expect(harness.intake.failure?.remedy == "free space, or set spool.dir to a folder of another disk")
        try harness.take()
        #expect(harness.seen.position == harness.written.position)
        // With room again it accepts bytes again.
        #expect(try harness.put(100_000))
        try harness.take()
        #expect(harness.seen.position == harness.written.position)
    }

    @Test func `has no named files on disk, so that a crash leaves nothing behind`() throws {
        let harness = try Harness(memory: Self.mebibyte, disk: 64 * Self.mebibyte)
        #expect(try harness.put(10 * Self.mebibyte))
        let intake = harness.intake
        try wait(until: "it is on disk") { intake.spooledBytes > 0 }
        #expect(try FileManager.default.contentsOfDirectory(atPath: harness.folder.path) == [])
    }

    @Test func `reports the oldest arrival wherever the bytes wait`() throws {
        let folder = try TemporaryFolder("intake")
        let now = Lock64(1000)
        let budget = SpoolBudget(memoryBytes: Self.mebibyte, diskBytes: 64 * Self.mebibyte)
        let intake = Intake(budget: budget, spoolDirectory: folder.path, clock: { now.value })
        #expect(intake.oldestArrival == nil)
        _ = intake.receive { _ in 10 }
        now.value = 2000
        _ = intake.receive { _ in 10 }
        #expect(intake.oldestArrival == 1000)
        _ = intake.next()
        #expect(intake.oldestArrival == nil)
        now.value = 3000
        for _ in 0..<40 { _ = intake.receive { $0.count } }
        now.value = 9000
        _ = intake.receive { $0.count }
        try wait(until: "it is on disk") { intake.spooledBytes > 0 }
        while intake.queuedBytes > Slab.capacity {
            #expect(intake.oldestArrival == 3000)
            guard case .chunk = intake.next() else { break }
        }
        #expect(intake.oldestArrival == 9000)
    }
}

/// A producer and a consumer on threads of their own, as in life. Run it with `make tsan` too.
@Suite struct `The intake between two threads` {
    @Test(arguments: [1 << 20, 3 << 20, 64 << 20]) func `loses no byte and no wake-up`(memory: Int) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        let folder = try TemporaryFolder("intake")
        let budget = SpoolBudget(memoryBytes: memory, diskBytes: 1 << 30)
        let intake = Intake(budget: budget, spoolDirectory: folder.path, segmentBytes: 1 << 20, clock: { 0 })
        let woken = DispatchSemaphore(value: 0)
        intake.setDataHandler { woken.signal() }
        let total = UInt64(60 << 20)

        let overflowed = Lock64(0)
        let producer = Thread {
            var random = SystemRandomNumberGenerator(), pattern = Pattern()
            while pattern.position < total {
                // A source that is no faster than the disk.
                while budget.usedMemoryBytes > memory { usleep(100) }
                let count = min(Int.random(in: 1...200_000, using: &random), Int(total - pattern.position))
                if !intake.receive({ pattern.fill($0, count) }) {
                    overflowed.value = 1
                    break
                }
                if Int.random(in: 0..<50, using: &random) == 0 { usleep(500) }
            }
            intake.endOfFlow()
        }
        producer.start()

        var pattern = Pattern()
        var generator = SeededNumbers(state: seed)
        consuming: while true {
            switch intake.next() {
            case .chunk(let chunk):
                let isRight = chunk.withBytes(from: 0) { pattern.matches($0) }
                try #require(isRight, "order at \(pattern.position), seed \(seed)")
                // Now and then the target is slow, so that memory fills and the disk is used.
                if generator.next() % 40 == 0 { usleep(20_000) }
            case .empty:
                try #require(woken.wait(timeout: .now() + 30) == .success, "a wake-up was lost, seed \(seed)")
            case .end: break consuming
            case .failed(let error): throw error
            }
        }
        #expect(overflowed.value == 0)
        #expect(pattern.position == total)
        #expect(intake.queuedBytes == 0)
    }

    @Test func `wakes a consumer that sleeps between single bytes`() throws {
        let intake = Intake(budget: SpoolBudget(memoryBytes: 1 << 20, diskBytes: 0), spoolDirectory: nil, clock: { 0 })
        let woken = DispatchSemaphore(value: 0)
        intake.setDataHandler { woken.signal() }
        let count = 100_000
        Thread {
            for _ in 0..<count { _ = intake.receive { _ in 1 } }
            intake.endOfFlow()
        }.start()
        var taken = 0
        consuming: while true {
            switch intake.next() {
            case .chunk(let chunk): taken += chunk.count
            case .empty: try #require(woken.wait(timeout: .now() + 30) == .success, "a wake-up was lost")
            case .end: break consuming
            case .failed(let error): throw error
            }
        }
        #expect(taken == count)
    }
}

/// A number that two threads may look at.
private final class Lock64: @unchecked Sendable {  // every access is between lock and unlock
    private let lock = NSLock()
    private var number: Int64

    init(_ number: Int64) { self.number = number }

    var value: Int64 {
        get { lock.withLock { number } }
        set { lock.withLock { number = newValue } }
    }
}

private struct SeededNumbers {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}
