import Dragonfly
import DragonflySimulator
import Lab
import Link
import Logging
import Redis
import Testing

@testable import Replication

@Suite struct `The age of unapplied data` {
    private let start = ContinuousClock.now

    private func expect(
        _ log: inout ArrivalLog, _ applied: UInt64, _ time: ContinuousClock.Instant?,
        at location: SourceLocation = #_sourceLocation
    ) {
        let oldest = log.oldest(behind: applied)
        #expect(oldest == time, sourceLocation: location)
    }

    @Test func `is that of the oldest byte, and absent when all is applied`() {
        var log = ArrivalLog()
        expect(&log, 0, nil)
        log.received(upTo: 10, at: start)
        log.received(upTo: 20, at: start + .seconds(1))
        expect(&log, 0, start)
        expect(&log, 9, start)
        expect(&log, 10, start + .seconds(1))
        expect(&log, 20, nil)
        log.received(upTo: 21, at: start + .seconds(5))
        expect(&log, 20, start + .seconds(5))
    }

    @Test func `takes few marks however long the lag, and is never too small`() throws {
        var log = ArrivalLog()
        let arrivals = (0..<100_000).map { start + .milliseconds(50 * $0) }
        for (index, time) in arrivals.enumerated() { log.received(upTo: UInt64(index + 1), at: time) }
        #expect(log.markCount <= ArrivalLog.maxMarks)
        for applied in stride(from: 0, to: arrivals.count, by: 997) {
            let oldest = log.oldest(behind: UInt64(applied))
            let told = try #require(oldest)
            #expect(told <= arrivals[applied])
            #expect(told.duration(to: arrivals[applied]) <= log.span + .milliseconds(50))
        }
        expect(&log, UInt64(arrivals.count), nil)
        #expect(log.span == ArrivalLog.shortestSpan)
    }

    @Test func `comes with an estimate of undecoded records from their size`() {
        var flow = ReplicationStatus.Flow(FlowID(0))
        (flow.queuedBytes, flow.decodedLSN, flow.appliedLSN) = (15_300_000, LSN(7), LSN(7))
        #expect(flow.isLagEstimated)
        #expect((100_000...1_000_000).contains(flow.lagRecords), "\(flow.lagRecords)")
        flow.bytesPerRecord = 30
        #expect(flow.lagRecords == 510_000)
        (flow.bytesPerRecord, flow.queuedBytes) = (nil, 1)
        #expect(flow.lagRecords == 1)
    }

    @Test func `is rounded up, so that only zero reads 0.0 seconds`() {
        #expect(Duration.zero.tenths == "0.0")
        #expect(Duration.microseconds(1).tenths == "0.1")
        #expect(Duration.milliseconds(100).tenths == "0.1")
        #expect(Duration.milliseconds(12_345).tenths == "12.4")
    }
}

@Suite struct `The alarm of a high lag` {
    @Test func `is raised once, and cleared once when the lag is below half of the limit`() {
        var alarm = LagAlarm(limit: .seconds(30))
        let seconds = [0, 30, 31, 40, 31, 29, 40, 16, 14, 0, 29, 31, 0]
        #expect(
            seconds.map { alarm.update(.seconds($0)) } == [
                nil, nil, .high, nil, nil, nil, nil, nil, .normal, nil, nil, .high, .normal,
            ])
    }

    @Test func `is never raised without a limit`() {
        var alarm = LagAlarm(limit: nil)
        #expect(alarm.update(.seconds(1 << 20)) == nil)
    }
}

/// An applier between bytes that a test puts in and a real server.
@Suite struct `The figures of a flow` {
    private final class Scene {
        let redis: RedisServer
        let progress = FlowProgress()
        let intake: Intake
        let applier: FlowApplier
        let events = Lock<[String]>([])
        private var received = 0

        init(silenceLimit: Duration = .seconds(30)) async throws {
            redis = try RedisServer()
            let target = TargetSettings(endpoint: Endpoint(host: "127.0.0.1", port: redis.port), clientName: "test")
            let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
            let context = FlowContext(
                task: "test", policy: ReplicationPolicy(),
                session: .init(replicationID: "id", syncID: "SYNC1", flowCount: 1, protocolVersion: 4),
                targetDatabases: 16, connector: TargetConnector(settings: target),
                incidents: IncidentLog(logger: logger, path: nil), logger: logger, allProgress: [progress],
                retry: RetryPolicy(), silenceLimit: silenceLimit)
            intake = Intake(
                budget: SpoolBudget(memoryBytes: 64 << 20, diskBytes: 0), spoolDirectory: nil,
                clock: { 1_800_000_000_000 })
            var start = FlowStart(mode: .partial, next: LSN(100))
            start.mayRepeat = true
            applier = try FlowApplier(
                flow: FlowID(0), start: start, intake: intake, context: context,
                profile: TargetProfile(flavor: .redis, version: .init(7, 0, 15)),
                onEvent: { [events] event in events.withLock { $0.append("\(event)") } })
            try await applier.start()
        }

        deinit { redis.resume() }

        func put(_ bytes: [UInt8]) {
            received += bytes.count
            var rest = bytes[...]
            while !rest.isEmpty {
                _ = intake.receive { room in
                    let count = min(room.count, rest.count)
                    rest.prefix(count).withUnsafeBytes { room.copyMemory(from: $0) }
                    rest = rest.dropFirst(count)
                    return count
                }
            }
        }

        var status: ReplicationStatus.Flow { .init(FlowID(0), progress, intake, acknowledged: nil) }

        /// Everything received is applied, and each figure says so.
        func expectNoLag(next: UInt64) throws {
            try wait(until: "everything is applied") { self.status.lagBytes == 0 }
            let status = status
            #expect(status.receivedBytes == UInt64(received))
            #expect(status.appliedBytes == status.receivedBytes)
            #expect(status.queuedBytes == 0)
            #expect(status.decodedLSN == LSN(next))
            #expect(status.appliedLSN == LSN(next))
            #expect(status.lagRecords == 0)
            #expect(!status.isLagEstimated)
            #expect(status.lag == .zero)
        }
    }

    private static func record(_ number: Int, bytes: Int = 10) -> [UInt8] {
        JournalEntry("SET key:\(number) " + String(repeating: "x", count: bytes)).encoded
    }

    @Test func `of received, decoded and applied data diverge while the target is paused, and meet again`() async throws
    {
        let scene = try await Scene()
        for number in 0..<50 { scene.put(Self.record(number)) }
        try scene.expectNoLag(next: 150)

        scene.redis.pause()
        // The first record is in flight and the rest is decoded: none of them is applied.
        scene.put(Self.record(50))
        try wait(until: "it is decoded") { scene.status.decodedLSN == LSN(151) }
        for number in 51..<60 { scene.put(Self.record(number)) }
        try wait(until: "all is decoded") { scene.status.decodedLSN == LSN(160) }
        #expect(scene.status.queuedBytes == 0)
        #expect(scene.status.appliedLSN == LSN(150))
        #expect(scene.status.lagRecords == 10)
        #expect(!scene.status.isLagEstimated)
        #expect(scene.status.lagBytes == UInt64(10 * Self.record(50).count))
        let early = scene.status.lag
        #expect(early > .zero)
        try wait(until: "it grows older") { scene.status.lag > early + .milliseconds(300) }

        // More than two batches: the rest waits undecoded, and its records are counted by their size.
        for number in 0..<2000 { scene.put(Self.record(number, bytes: 1000)) }
        try wait(until: "two batches are full") { scene.status.queuedBytes > 0 && scene.status.lagRecords > 100 }
        try wait(until: "decoding waits") {
            let before = scene.status.decodedLSN
            blockThread(for: .milliseconds(50))
            return scene.status.decodedLSN == before
        }
        let status = scene.status
        #expect(status.isLagEstimated)
        #expect(abs(Double(status.lagRecords) / 2010 - 1) < 0.2, "\(status.lagRecords) of 2010")
        #expect(status.appliedLSN == LSN(150))

        scene.redis.resume()
        try scene.expectNoLag(next: 2160)
    }

    @Test func `an applier that catches up answers between its batches`() async throws {
        let scene = try await Scene()
        let probe = scene.applier.probe
        scene.redis.pause()
        // Some 80 batches, which a server on this machine answers at once.
        for number in 0..<20_000 { scene.put(Self.record(number, bytes: 1000)) }
        scene.redis.resume()
        var answers = 0
        try wait(until: "everything is applied", every: .milliseconds(1)) {
            if probe.isAnswered {
                _ = probe.poll()
                answers += 1
            }
            return scene.status.lagBytes == 0
        }
        // An applier that blocks its queue for the whole backlog would answer once or twice only.
        #expect(answers > 4, "\(answers)")
        try scene.expectNoLag(next: 20_100)
    }

    @Test func `count half a record as received, not as applied`() async throws {
        let scene = try await Scene()
        let record = Self.record(1)
        scene.put(Array(record.prefix(9)))
        try wait(until: "it grows old") { scene.status.lag > .milliseconds(200) }
        // The SELECT before the record has been decoded and has no commands of its own.
        #expect((1..<9).contains(scene.status.lagBytes))
        #expect(scene.status.receivedBytes == 9)
        scene.put(Array(record.dropFirst(9)))
        try scene.expectNoLag(next: 101)
    }

    @Test func `count a record without commands as applied`() async throws {
        let scene = try await Scene()
        scene.put(JournalEntry.ping.encoded)
        try scene.expectNoLag(next: 101)
    }

    @Test func `include a silent target, whose silence and return are each reported once`() async throws {
        let scene = try await Scene(silenceLimit: .milliseconds(300))
        let probe = scene.applier.probe
        func look() throws {
            #expect(probe.poll() == 0, "an applier that waits for its target has not hung")
            try wait(until: "the queue answers") { probe.isAnswered }
        }
        scene.redis.pause()
        scene.put(Self.record(1))
        try wait(until: "it is told") {
            try look()
            return !scene.events.withLock { $0 }.isEmpty
        }
        #expect(scene.status.targetSilence >= .milliseconds(300))
        for _ in 0..<5 { try look() }
        #expect(scene.events.withLock { $0 }.count == 1)
        #expect(scene.events.withLock { $0.first?.contains("has been silent for") } == true)
        scene.redis.resume()
        try scene.expectNoLag(next: 101)
        try look()
        #expect(scene.events.withLock { $0.last?.hasPrefix("targetFound") } == true)
        #expect(scene.events.withLock { $0 }.count == 2)
        #expect(scene.status.targetSilence == .zero)
        try look()
        #expect(scene.events.withLock { $0 }.count == 2)
    }
}
