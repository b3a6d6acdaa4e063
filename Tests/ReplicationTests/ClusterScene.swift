import Dispatch
import Dragonfly
import Lab
import Link
import Redis
import Testing
import Wire

@testable import Replication

/// A real cluster, and a flow's target in it, driven batch by batch.
actor ClusterScene {
    private let executor = QueueExecutor(label: "test.cluster")
    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let context: FlowContext
    private let scene: EncoderScene
    private let connector: ClusterConnector
    private var target: ClusterTarget?
    private var waiter: CheckedContinuation<BatchOutcome, any Error>?
    private var deliveries = 0
    /// A command that is being built, and the number of bytes that its argument still lacks.
    private var long: (batch: CommandBatch, left: Int)?
    /// What the target has reported in addition to outcomes.
    private(set) var reports: [String] = []
    /// The failure that came when no delivery was waiting.
    private var failure: (any Error)?
    private static let flow = FlowID(0)
    /// Each later process has a later epoch.
    private static let epochs = Lock<Int64>(1000)

    init(_ seeds: [UInt16]) throws {
        var settings = TargetSettings(
            endpoint: Endpoint(host: "127.0.0.1", port: seeds[0]), clientName: "df2redis:test")
        settings.cluster = ClusterAddresses(seeds: seeds.map { Endpoint(host: "127.0.0.1", port: $0) })
        let connector = TargetConnector(settings: settings)
        scene = EncoderScene(context: {
            $0.connector = connector
            $0.targetDatabases = 1
            $0.retry = RetryPolicy(initial: .milliseconds(20), maximum: .milliseconds(200))
            $0.clock = {
                Self.epochs.withLock {
                    $0 += 1; return $0
                }
            }
        })
        context = scene.context
        guard let cluster = connector.cluster else { throw LabError("the connector knows its cluster") }
        self.connector = cluster
    }

    /// Ends the present target, as a crash does, and opens a new one.
    ///
    /// - Parameter next: where the flow continues; `nil` for a full sync.
    @discardableResult
    func open(at next: UInt64?) async throws -> FlowTargetFinding {
        target?.close()
        let target = ClusterTarget(
            Self.flow, context: context, cluster: connector, resumesAt: next.map { LSN($0) }, queue: executor.queue)
        target.onEvent = { [weak self] event in self?.assumeIsolated { $0.handle(event) } }
        self.target = target
        failure = nil
        return try await target.open(isolation: self)
    }

    private func handle(_ event: FlowTargetEvent) {
        switch event {
        case .completed(_, let outcome): resume(.success(outcome))
        case .lost(let error): resume(.failure(error))
        case .failed(let error):
            if waiter == nil { failure = error }
            resume(.failure(error))
        case .unavailable(let error): reports.append("unavailable: \(error)")
        case .available: reports.append("available")
        case .hasRoom: hasRoom()
        }
    }

    private func resume(_ result: Result<BatchOutcome, any Error>) {
        waiter?.resume(with: result)
        waiter = nil
    }

    /// - Parameter records: one command per record.
    @discardableResult
    func deliver(_ records: [String], next: UInt64?, repeating: Bool = false) async throws -> BatchOutcome {
        let batch = batch(records, next: next)
        batch.mayHaveBeenApplied = repeating
        return try await deliver(batch)
    }

    func deliver(_ batch: CommandBatch) async throws -> BatchOutcome {
        if let failure { throw failure }
        deliveries += 1
        executor.queue.asyncAfter(deadline: .now() + 60) { [weak self, deliveries] in
            self?.assumeIsolated {
                if $0.deliveries == deliveries { $0.resume(.failure(LabError("no end after 60 s: \($0.reports)"))) }
            }
        }
        return try await withCheckedThrowingContinuation { continuation in
            waiter = continuation
            target?.deliver(batch)
        }
    }

    /// Delivers a command with an argument of `count` bytes, and sends it while it is being built.
    func deliverLong(_ name: StaticString, _ words: [String], argumentBytes count: Int) async throws -> BatchOutcome {
        let batch = CommandBatch()
        batch.append("SELECT", Int64(0))
        batch.beginLongCommand(name, label: "\(name)", argumentBytes: count) {
            for word in words { $0.append(Array(word.utf8)) }
        }
        long = (batch, count)
        growLong()
        return try await withCheckedThrowingContinuation { continuation in
            waiter = continuation
            target?.deliver(batch)
        }
    }

    private func growLong() {
        guard let batch = long?.batch, !batch.isSealed else { return }
        while let left = long?.left, left > 0, batch.bytes.count < 256 << 10 {
            let piece = min(left, 64 << 10)
            batch.appendToLongCommand([UInt8](repeating: UInt8(ascii: "x"), count: piece).span.bytes)
            long?.left -= piece
        }
    }

    private func hasRoom() {
        growLong()
        if let (batch, left) = long, left == 0, !batch.isSealed {
            batch.endLongCommand()
            batch.seal(checkpoint: nil)
        }
        target?.batchGrew()
    }

    func batch(_ records: [String], next: UInt64?) -> CommandBatch {
        let batch = CommandBatch()
        if next != nil { batch.beginJournal() }
        for record in records {
            batch.append(record.split(separator: " ").map { Array($0.utf8) })
            if next != nil { batch.endRecord() }
        }
        batch.progress.nextLSN = next
        let value = next.map { "stable id 1 \($0)" } ?? "snapshot id SYNC1 1"
        batch.seal(
            checkpoint: .init(
                key: Array(context.checkpointKey.name.utf8), field: Array("flow:0".utf8), value: Array(value.utf8)))
        return batch
    }

    /// Executes only the first steps of a batch with a command over several slots.
    ///
    /// - Returns: `false` if the batch has no more steps than `count`.
    func doSome(_ count: Int, of records: [String], next: UInt64) async throws -> Bool {
        target?.close()
        let batch = batch(records, next: next)
        let stamp = { [context] in FlowStamp(epoch: 1, number: UInt64(context.clock())) }
        let view = try await connector.current()
        let runner = SlotRunner(
            Self.flow, context: context, cluster: connector, view: view, queue: executor.queue,
            nodeMark: { SlotMark(replicationID: "id", position: nil, stamp: stamp()) }, onReport: { _ in })
        defer { runner.close() }
        let steps = BatchSplitter(task: "test", flow: 0, replicationID: "id").steps(
            of: batch, masters: [], marks: SlotMarks(), stamp: stamp)
        var left = count
        for step in steps {
            switch step {
            case .slots(let work): if try await !run(work, on: runner, &left) { return true }
            case .crossing(let command):
                while let work = command.next(stamp: stamp) {
                    if try await !run(work, on: runner, &left) { return true }
                    command.finished(work)
                }
            }
        }
        return left > 0
    }

    private func run(_ work: SlotWork, on runner: SlotRunner, _ left: inout Int) async throws -> Bool {
        guard left > 0 else { return false }
        left -= 1
        let done = await withCheckedContinuation { (continuation: CheckedContinuation<SlotWork, Never>) in
            runner.run(work) { continuation.resume(returning: $0) }
        }
        if let failure = done.failure { throw failure }
        return true
    }

    func retire() async { await target?.retire(isolation: self) }

    func close() async {
        target?.close()
        await target?.join(isolation: self)
    }
}
