import DequeModule
import Dragonfly
import Link
import Logging
import Redis

/// Reads large values at the source piece by piece, because one DUMP would be too large. Each value is built at the target
/// under a temporary name of df2redis. The flow then renames it at the position of the stream where the value is valid
/// (`ValueBuilder`, `FlowRefresher`).
///
/// ```
/// o1, type, deadline ─▶ (piece ─▶ target confirms it) ... ─▶ o2 ─▶ whole ─▶ flow: RENAME, or nothing if it is stale
/// ```
/// Only one value is read at a time, one piece after the other, at the rate of `refresh.keysPerSecond`; each piece counts
/// as one key. If a record touches the value meanwhile, the value is given up at once and read again after increasing
/// waits.
@SessionActor
final class LargeValues {
    /// In milliseconds. The wait increases with each attempt (`RefreshSchedule`).
    nonisolated static let shortestWait: Int64 = 1000
    private static let pollPause = Duration.milliseconds(20)
    private static let idlePause = Duration.milliseconds(100)
    private static let failurePause = Duration.seconds(1)
    /// How long the session waits at its end for a value that is about to be renamed.
    private nonisolated static let leavingLimit = Duration.seconds(2)

    private let task: TaskContext
    private let flows: SessionFlows
    private let queue: RefreshQueue
    private let reader: ValueReader
    private let builder: ValueBuilder
    private let note: BuildingNote
    private let readAtOnce: @SessionActor (RefreshRequest, Int) async -> Void
    private let removal = ShieldedWork()
    private var waiting: Deque<(request: RefreshRequest, size: Int)> = []
    /// The source's user lacks the rights to read in pieces.
    private var isForbidden = false

    /// - Parameters:
    ///   - reader: a reader that nobody else uses.
    ///   - readAtOnce: reads a value of the given size in bytes that cannot be read in pieces.
    init(
        _ task: TaskContext, flows: SessionFlows, queue: RefreshQueue, reader: ValueReader,
        readAtOnce: @escaping @SessionActor (RefreshRequest, Int) async -> Void
    ) {
        (self.task, self.flows, self.queue, self.reader, self.readAtOnce) = (task, flows, queue, reader, readAtOnce)
        let settings = task.settings
        builder = ValueBuilder(
            connector: TargetConnector(settings: settings.target), task: settings.task, clock: settings.clock)
        note = BuildingNote(path: settings.stateDirectory.map { "\($0)/\(settings.task).refresh-value" })
    }

    /// - Parameter size: the size of the value at the source in bytes.
    func add(_ request: RefreshRequest, _ size: Int) { waiting.append((request, size)) }

    /// Reads the values that wait, until it is cancelled.
    func run() async {
        await removeLeftover()
        while !Task.isCancelled {
            guard let (request, size) = waiting.popFirst() else {
                try? await Task.sleep(for: Self.idlePause)
                continue
            }
            guard !isForbidden else {
                await readAtOnce(request, size)
                continue
            }
            do {
                try await refresh(request, size)
            } catch {
                await failed(request, size, error)
            }
        }
        await reader.close()
        await builder.close()
    }

    // MARK: One value

    private enum BuildOutcome { case answered, stale, notInPieces }

    private func refresh(_ request: RefreshRequest, _ size: Int) async throws {
        let (key, index) = (request.key, request.flow.index)
        guard index < flows.appliers.count else { return queue.finish(key, .failed) }
        let applier = flows.appliers[index]
        guard let begun = await applier.refresh({ $0.begin([key]) }) else {
            return queue.retry(key, wasStale: false, notBefore: Self.shortestWait)
        }
        // Otherwise the flow still watches the key for an earlier read, and has told the queue to retry the key later.
        guard begun.contains(key) else { return }
        let names = await builder.names(for: key.key, in: key.database)
        do {
            switch try await build(request, names, applier) {
            case .answered: break
            case .stale:
                await giveUp(key, applier)
                queue.retry(key, wasStale: true, notBefore: Self.shortestWait)
            case .notInPieces:
                await giveUp(key, applier)
                return await readAtOnce(request, size)
            }
        } catch {
            await giveUp(key, applier)
            await remove(names, key, applier)
            throw error
        }
        await remove(names, key, applier)
    }

    private func giveUp(_ key: RefreshKey, _ applier: FlowApplier) async {
        _ = await applier.refresh { $0.drop(key) }
    }

    private func build(
        _ request: RefreshRequest, _ names: ValueBuilder.Names, _ applier: FlowApplier
    ) async throws -> BuildOutcome {
        let (key, index) = (request.key, request.flow.index)
        let head = try await reader.head(of: key.key, in: key.database)
        guard let kind = PieceReader.Kind(rawValue: head.type),
            let memberTTLs = await applier.refresh({ $0.memberTTLs })
        else { return .notInPieces }
        let before = head.before[index].value
        note.write(names.text)
        try await builder.begin(names, for: key.key, memberTTLs)
        var pieces = PieceReader(kind, database: key.database, key: key.key, reader: reader)
        let pause = Duration.seconds(1) / task.settings.refreshesPerSecond
        reading: while true {
            try Task.checkCancellation()
            guard await applier.refresh({ $0.isStale(key, since: before) }) == false else { return .stale }
            switch try await pieces.next() {
            case .changed: return .stale
            case .end: break reading
            case .piece(let piece): try await builder.append(piece)
            }
            try await Task.sleep(for: pause)
        }
        let after = try await reader.positions()[index].value
        let answer = KeyWatch.Answer(
            payload: nil, built: try await builder.finish(), expiresAt: head.expiresAt,
            reading: .init(before: before, after: after))
        guard await applier.refresh({ $0.answer(key, answer) }) != nil else { return .stale }
        return .answered
    }

    /// Removes the temporary keys as soon as the flow no longer needs them.
    private func remove(_ names: ValueBuilder.Names, _ key: RefreshKey, _ applier: FlowApplier) async {
        while !Task.isCancelled, await isPending(key, applier) { try? await Task.sleep(for: Self.pollPause) }
        await removal.run { [builder, note] in
            let deadline = ContinuousClock.now + Self.leavingLimit
            while await self.isPending(key, applier) {
                // The next session removes the temporary keys.
                if ContinuousClock.now > deadline { return }
                try? await Task.sleep(for: Self.pollPause)
            }
            if (try? await builder.remove(names)) != nil { note.clear() }
        }
    }

    private func isPending(_ key: RefreshKey, _ applier: FlowApplier) async -> Bool {
        await applier.refresh { $0.isPending(key) } ?? false
    }

    // MARK: What goes wrong

    private func failed(_ request: RefreshRequest, _ size: Int, _ error: any Error) async {
        let key = request.key
        if Task.isCancelled { return queue.retry(key, wasStale: false) }
        switch error {
        case let error as SourceError where error.code == .permission:
            isForbidden = true
            task.incidents.reportOnce(
                "\(error): until its user has \(PieceReader.rights), values of more than \(SessionRefresh.mostBytesAtOnce) bytes are read at one stroke, which keeps the source's clients waiting",
                level: .warning)
            return await readAtOnce(request, size)
        case let error as TargetError where !error.isTransient && error.code != .taskTaken:
            queue.finish(key, .failed)
            task.incidents.reportOnce(
                "a large value that was read at the source cannot be written to the target, and stays as it is there: \(error)",
                level: .warning)
        case let error as TargetError:
            queue.retry(key, wasStale: false, notBefore: Self.shortestWait)
            if error.code == .notReady {
                task.incidents.reportOnce(
                    "a large value that was read at the source waits for the target: \(error)", level: .warning)
            }
        default:
            queue.retry(key, wasStale: false, notBefore: Self.shortestWait)
        }
        if !Task.isCancelled { task.logger.debug("a large value cannot be read in pieces: \(error)") }
        try? await Task.sleep(for: Self.failurePause)
    }

    /// Removes what an earlier process was building.
    private func removeLeftover() async {
        while let text = note.read(), !Task.isCancelled {
            guard let names = ValueBuilder.Names(text, task: task.settings.task) else { return note.clear() }
            do {
                try await builder.remove(names)
                note.clear()
            } catch {
                task.logger.debug("a value that was being built cannot be removed: \(error)")
                try? await Task.sleep(for: Self.failurePause)
            }
        }
    }
}
