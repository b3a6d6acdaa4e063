package import Link
package import Logging
import Wire

/// Finds the target through its sentinels, and follows it when they move it.
///
/// The sentinels are asked at each connect. `watch` listens for `+switch-master` at each of them, so that what is connected to
/// the old master, which may answer nothing and yet be open, is given up at once.
package actor SentinelLocator {
    package nonisolated let settings: SentinelSettings
    private let logger: Logger
    private nonisolated let known = Lock<Endpoint?>(nil)
    private var followers: [Follower] = []
    /// The question that is under way: connections of one moment share it.
    private var question: Task<Result<Endpoint, TargetError>, Never>?
    private var lastRemarks: [String] = []

    /// A sentinel beyond this is as good as away.
    private static let patience = Duration.seconds(1)
    /// Without an announcement a listening connection is made anew after this, so that one that is dead is not trusted.
    private static let listening = Duration.seconds(60)
    /// Between two looks of a wait that a move ends.
    private static let pause = Duration.milliseconds(50)

    private struct Follower {
        weak var connection: RequestConnection?
    }

    package init(_ settings: SentinelSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// Where the master was when the sentinels were asked last; `nil`: nobody has asked.
    package nonisolated var current: Endpoint? { known.withLock { $0 } }

    /// Asks where the master is.
    ///
    /// - Throws: `TargetError`.
    package func master() async throws(TargetError) -> Endpoint {
        if let question { return try await question.value.get() }
        let task = Task { await ask() }
        question = task
        let result = await task.value
        question = nil
        return try result.get()
    }

    private func ask() async -> Result<Endpoint, TargetError> {
        let settings = settings
        let answers = await SentinelAnswer.askAll(settings, timeout: Self.patience)
        do throws(TargetError) {
            let verdict = try SentinelVerdict(answers, name: settings.master)
            for remark in verdict.remarks where !lastRemarks.contains(remark) { logger.warning("\(remark)") }
            lastRemarks = verdict.remarks
            await become(verdict.master)
            return .success(verdict.master)
        } catch {
            return .failure(error)
        }
    }

    private func become(_ master: Endpoint) async {
        let before = known.withLock { known in
            defer { known = master }
            return known
        }
        guard before != master else { return }
        if let before {
            logger.notice(
                "the sentinels have moved '\(settings.master)' from \(before) to \(master)",
                metadata: ["event": "targetMoved"])
        }
        let connections = followers.compactMap(\.connection)
        followers.removeAll { $0.connection == nil }
        for connection in connections where connection.endpoint != master { await connection.giveUp() }
    }

    /// Gives `connection` up when the master is elsewhere.
    func follow(_ connection: RequestConnection) async {
        followers.removeAll { $0.connection == nil }
        followers.append(Follower(connection: connection))
        if let current, connection.endpoint != current { await connection.giveUp() }
    }

    /// Waits, but no longer than until the master moves.
    package nonisolated func wait(for time: Duration) async {
        let (before, end) = (current, ContinuousClock.now + time)
        while current == before, ContinuousClock.now < end {
            let rest = ContinuousClock.now.duration(to: end)
            do { try await Task.sleep(for: min(rest, Self.pause)) } catch { return }
        }
    }

    // MARK: Announcements

    /// Listens to the sentinels until it is cancelled.
    package func watch() async {
        await withDiscardingTaskGroup { group in
            for endpoint in settings.endpoints { group.addTask { await self.watch(endpoint) } }
        }
    }

    private func watch(_ endpoint: Endpoint) async {
        while !Task.isCancelled {
            if let connection = try? await SentinelAnswer.connect(to: endpoint, settings, timeout: Self.patience) {
                await listen(connection)
                await connection.close()
            }
            try? await Task.sleep(for: .seconds(1))
        }
    }

    private func listen(_ connection: RequestConnection) async {
        do {
            let confirmation = try await connection.request("SUBSCRIBE", "+switch-master", timeout: Self.patience)
            if case .error = confirmation { return }
            // What was announced before.
            if current != nil { _ = try? await master() }
            while true {
                let message = try await connection.receive(within: Self.listening)
                guard let text = message.array?.last?.text, text.hasPrefix("\(settings.master) ") else { continue }
                // The answers of the others may be of before.
                _ = try? await master()
            }
        } catch {}
    }
}
