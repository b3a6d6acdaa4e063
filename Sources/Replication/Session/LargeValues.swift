import DequeModule
import Dragonfly
import Link
import Logging
import Redis

/// Reads values at the source that are too large for one DUMP, piece by piece, and has each built at the target under a
/// name of our own, which the flow then publishes where the value is true (`ValueBuilder`, `FlowRefresher`).
///
/// ```
/// o1, type, deadline ─▶ (piece ─▶ target confirms it) ... ─▶ o2 ─▶ whole ─▶ flow: RENAME, or nothing if it is stale
/// ```
/// One value at a time, and of it one piece; at the pace of `refresh.keysPerSecond`, a piece counting as a key. A value
/// that a record has touched meanwhile is given up at once, and read again after growing waits.
@SessionActor
final class LargeValues {
    /// In milliseconds; it grows (`RefreshSchedule`).
    nonisolated static let shortestWait: Int64 = 1000
    private static let pollPause = Duration.milliseconds(20)
    private static let idlePause = Duration.milliseconds(100)
    private static let failurePause = Duration.seconds(1)
    /// How long a value that is on its way to its name may take when the session ends.
    private nonisolated static let leavingLimit = Duration.seconds(2)

    private let task: TaskContext
    private let flows: SessionFlows
    private let queue: RefreshQueue
    private let reader: ValueReader
    private let builder: ValueBuilder
    private let note: BuildingNote
    private let atOnce: @SessionActor (RefreshRequest, Int) async -> Void
    private let removal = ShieldedWork()
    private var waiting: Deque<(request: RefreshRequest, size: Int)> = []
    /// The source's user has no rights to read in pieces.
    private var isForbidden = false

    /// - Parameters:
    ///   - reader: nobody else's.
    ///   - atOnce: reads a value that cannot be read in pieces, of so many bytes.
    init(
        _ task: TaskContext, flows: SessionFlows, queue: RefreshQueue, reader: ValueReader,
        atOnce: @escaping @SessionActor (RefreshRequest, Int) async -> Void
    ) {
        (self.task, self.flows, self.queue, self.reader, self.atOnce) = (task, flows, queue, reader, atOnce)
        let settings = task.settings
        builder = ValueBuilder(
            connector: TargetConnector(settings: settings.target), task: settings.task, clock: settings.clock)
        note = BuildingNote(path: settings.stateDirectory.map { "\($0)/\(settings.task).refresh-value" })
    }

    /// - Parameter size: bytes that it takes at the source.
    func add(_ request: RefreshRequest, _ size: Int) { waiting.append((request, size)) }

    /// Until it is cancelled.
    func run() async {
        await removeLeftover()
        while !Task.isCancelled {
            guard let (request, size) = waiting.popFirst() else {
                try? await Task.sleep(for: Self.idlePause)
                continue
            }
            guard !isForbidden else {
                await atOnce(request, size)
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

    private enum Fate { case answered, stale, notInPieces }

    private func refresh(_ request: RefreshRequest, _ size: Int) async throws {
        let (key, index) = (request.key, request.flow.index)
        guard index < flows.appliers.count else { return queue.finish(key, .failed) }
        let applier = flows.appliers[index]
        guard let begun = await applier.refresh({ $0.begin([key]) }) else {
            return queue.retry(key, wasStale: false, notBefore: Self.shortestWait)
        }
        // Else it is watched already, and comes again.
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
                return await atOnce(request, size)
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
    ) async throws -> Fate {
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

    /// Removes what has come to nothing, once it is decided that it has.
    private func remove(_ names: ValueBuilder.Names, _ key: RefreshKey, _ applier: FlowApplier) async {
        while !Task.isCancelled, await isPending(key, applier) { try? await Task.sleep(for: Self.pollPause) }
        await removal.run { [builder, note] in
            let deadline = ContinuousClock.now + Self.leavingLimit
            while await self.isPending(key, applier) {
                // The next session removes it.
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
            return await atOnce(request, size)
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

    /// What a process before this one was building.
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
