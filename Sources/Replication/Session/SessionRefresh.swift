import Dragonfly
import Logging
import Redis
import Wire

/// Reads keys at the source whose records do not say enough, and hands their values to the flows, as long as the session is
/// stable (`RefreshQueue`, `FlowRefresher`).
@SessionActor
final class SessionRefresh {
    /// The most keys per request: at ordinary rates, and at the fast rates that an operator can ask for.
    private static let mostKeys = (ordinary: 16, fast: 128)
    private static let fastRate = 5000
    /// Values that take more bytes at the source are read in pieces. In v1.36.0 a DUMP of 4 MiB blocks its shard for about
    /// 300 ms, one of 1 MiB for about 80 ms.
    static let mostBytesAtOnce = 1 << 20
    /// Values that cannot be read in pieces and take more bytes at the source are not read, and stay as they are at the
    /// target.
    static let mostBytes = 32 << 20
    /// The most bytes of values that are read together.
    private static let mostBytesTogether = 1 << 20
    private static let idlePause = Duration.milliseconds(100)
    private static let failurePause = Duration.seconds(1)
    /// The wait before another check whether an operator has removed an obstacle.
    private static let obstaclePause = Duration.seconds(10)

    private let task: TaskContext
    private let flows: SessionFlows
    private let backgroundTasks: BackgroundTasks
    private let idle = InterruptibleSleep()
    private var logger: Logger { task.logger }

    init(_ task: TaskContext, flows: SessionFlows, backgroundTasks: BackgroundTasks) {
        (self.task, self.flows, self.backgroundTasks) = (task, flows, backgroundTasks)
    }

    /// Starts to read keys. Called when every flow is in its journal.
    func start() {
        guard let queue = task.refreshes, let replicationID = flows.replicationID else { return }
        let reader = ValueReader(
            settings: task.settings.source, replicationID: replicationID, flowCount: flows.appliers.count,
            socketStore: task.settings.socketStore)
        let pieces = ValueReader(
            settings: task.settings.source, replicationID: replicationID, flowCount: flows.appliers.count,
            socketStore: task.settings.socketStore, socketName: StoredSocketName.pieces)
        let largeValues = LargeValues(task, flows: flows, queue: queue, reader: pieces) { [self] request, size in
            await readAtOnce(request, size, queue, reader)
        }
        backgroundTasks.start(.refresh) { [self] in
            queue.sessionEnded()
            queue.setObstacle(nil)
            do {
                // Cancelled and awaited at the end of this scope.
                async let _ = largeValues.run()
                await run(queue, reader, largeValues)
            }
            await reader.close()
            queue.sessionEnded()
        }
    }

    /// Wakes the reader, because there are keys to read that should not wait.
    nonisolated func wake() { idle.end() }

    private func run(_ queue: RefreshQueue, _ reader: ValueReader, _ largeValues: LargeValues) async {
        while !Task.isCancelled {
            let rate = queue.rate(task.settings.refreshesPerSecond)
            let mostKeys = rate < Self.fastRate ? Self.mostKeys.ordinary : Self.mostKeys.fast
            let began = ContinuousClock.now
            let requests = queue.take(atMost: min(mostKeys, max(1, rate / 5)), urgent: Self.mostKeys.ordinary)
            guard !requests.isEmpty else {
                await idle.sleep(for: Self.idlePause)
                continue
            }
            do {
                try await refresh(requests, queue, reader, largeValues)
                queue.setObstacle(nil)
                // Urgent keys are taken alone and without a pause.
                if requests[0].origin.isUrgent { continue }
                try? await Task.sleep(until: began + .seconds(requests.count) / rate, clock: .continuous)
            } catch {
                guard error.isTransient else {
                    report(error, queue)
                    await idle.sleep(for: Self.obstaclePause)
                    continue
                }
                if !Task.isCancelled { logger.debug("keys cannot be read at the source: \(error)") }
                try? await Task.sleep(for: Self.failurePause)
            }
        }
    }

    /// Reports an obstacle that an operator must remove. Until then the keys are only counted.
    private func report(_ error: SourceError, _ queue: RefreshQueue) {
        let remedy =
            error.code == .permission
            ? "\(error): until its user has \(ValueReader.rights), keys that the journal says too little of are only counted"
            : "\(error): keys that the journal says too little of are only counted"
        queue.setObstacle(remedy)
        task.incidents.reportOnce(remedy, level: .warning)
    }

    /// Reads some keys at the source. The queue learns the result for each key.
    private func refresh(
        _ requests: [RefreshRequest], _ queue: RefreshQueue, _ reader: ValueReader, _ largeValues: LargeValues
    ) async throws(SourceError) {
        var groups: [[RefreshRequest]] = []
        do throws(SourceError) {
            let sizes = try await reader.sizes(of: requests.map { ($0.key.database, $0.key.key) })
            var bytes = Int.max
            for (request, answer) in zip(requests, sizes) {
                let size: Int
                do throws(SourceError) { size = try answer.get() } catch {
                    leaveOut(request, because: error, queue)
                    continue
                }
                var isReadInPieces = size > Self.mostBytesAtOnce
                if !isReadInPieces { isReadInPieces = await dumpMayLackTTLs(request) }
                guard !isReadInPieces else {
                    largeValues.add(request, size)
                    continue
                }
                if bytes > Self.mostBytesTogether - size || groups.isEmpty { groups.append([]) }
                bytes = groups[groups.count - 1].isEmpty ? size : bytes + size
                groups[groups.count - 1].append(request)
            }
            while let group = groups.first {
                try await read(group, queue, reader)
                groups.removeFirst()
            }
        } catch {
            for request in groups.isEmpty ? requests : groups.flatMap(\.self) {
                queue.retry(request.key, wasStale: false)
            }
            throw error
        }
    }

    /// Whether a DUMP of the key may lack TTLs of its elements. In pieces, the value is read with the TTL of each element.
    private func dumpMayLackTTLs(_ request: RefreshRequest) async -> Bool {
        let index = request.flow.index
        guard index < flows.appliers.count else { return false }
        return await flows.appliers[index].refresh { $0.dumpMayLackTTLs(of: request.key) } ?? false
    }

    private func read(
        _ requests: [RefreshRequest], _ queue: RefreshQueue, _ reader: ValueReader
    ) async throws(SourceError) {
        let applied = flows.appliers
        // Each flow notes which records touch the keys, starting before the keys are read.
        var watched: [RefreshRequest] = []
        for (index, group) in Dictionary(grouping: requests, by: \.flow.index).sorted(by: { $0.key < $1.key }) {
            guard index < applied.count else {
                for request in group { queue.finish(request.key, .failed) }
                continue
            }
            let keys = group.map(\.key)
            guard let begun = await applied[index].refresh({ $0.begin(keys) }) else {
                for key in keys { queue.retry(key, wasStale: false) }
                continue
            }
            watched += group.filter { begun.contains($0.key) }
        }
        guard !watched.isEmpty else { return }
        do throws(SourceError) {
            let reading = try await reader.read(watched.map { ($0.key.database, $0.key.key) })
            for (request, value) in zip(watched, reading.values) {
                let index = request.flow.index
                let positions = RefreshRule.Reading(
                    before: reading.before[index].value, after: reading.after[index].value)
                let key = request.key
                _ = await applied[index].refresh { refresher in
                    guard let value else { return refresher.abandon(key) }
                    refresher.answer(
                        key, .init(payload: value.payload, expiresAt: value.expiresAt, reading: positions))
                }
            }
        } catch {
            for request in watched {
                let key = request.key
                _ = await applied[request.flow.index].refresh { $0.abandon(key) }
            }
            throw error
        }
    }

    /// Reads a large value with one DUMP because it cannot be read in pieces.
    private func readAtOnce(
        _ request: RefreshRequest, _ size: Int, _ queue: RefreshQueue, _ reader: ValueReader
    ) async {
        guard size <= Self.mostBytes else { return leaveOut(request, size, queue) }
        do throws(SourceError) {
            try await read([request], queue, reader)
        } catch {
            queue.retry(request.key, wasStale: false, notBefore: LargeValues.shortestWait)
        }
    }

    /// Gives up a key whose database the source does not have.
    private func leaveOut(_ request: RefreshRequest, because error: SourceError, _ queue: RefreshQueue) {
        leaveOut(
            request, .noDatabase, "it cannot be read in database \(request.key.database) of the source: \(error)",
            queue)
    }

    private func leaveOut(_ request: RefreshRequest, _ size: Int, _ queue: RefreshQueue) {
        leaveOut(
            request, .tooLarge,
            "it takes \(size) bytes at the source, of a type that is read at one stroke or not at all (\(Self.mostBytes) bytes): it stays as it is at the target",
            queue)
    }

    private func leaveOut(
        _ request: RefreshRequest, _ kind: IncidentKind.Other, _ reason: String, _ queue: RefreshQueue
    ) {
        queue.finish(request.key, .failed)
        task.incidents.record(
            .init(
                severity: .diverging, kind: .init(kind), flow: request.flow, database: request.key.database,
                key: printableKey(request.key.key.span.bytes), reason: reason, subject: "key"))
    }
}
