package import Link
package import Logging
import Wire

/// Finds the target through its sentinels and follows it when they move it.
///
/// The sentinels are asked at each connect. `watch` listens for `+switch-master` at each of them, so that connections to the
/// old master are given up at once. Such a connection may stay open although the old master no longer answers.
package actor SentinelLocator {
    package nonisolated let settings: SentinelSettings
    private let logger: Logger
    private nonisolated let known = Lock<Endpoint?>(nil)
    private var followers: [Follower] = []
    /// The request that is under way. Connections that are opened at the same time share it.
    private var question: Task<Result<Endpoint, TargetError>, Never>?
    private var lastRemarks: [String] = []

    /// A sentinel that takes longer than this counts as absent.
    private static let patience = Duration.seconds(1)
    /// A listening connection is replaced after this time without an announcement, because it may be dead.
    private static let listening = Duration.seconds(60)
    /// The interval at which a wait checks whether the master has moved.
    private static let pause = Duration.milliseconds(50)

    private struct Follower {
        weak var connection: RequestConnection?
    }

    package init(_ settings: SentinelSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// Where the master was when the sentinels were asked last; `nil` if they have not been asked.
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

    /// Gives up `connection` if the master is elsewhere, now or later.
    func follow(_ connection: RequestConnection) async {
        followers.removeAll { $0.connection == nil }
        followers.append(Follower(connection: connection))
        if let current, connection.endpoint != current { await connection.giveUp() }
    }

    /// Waits for `time`, or until the master moves.
    package nonisolated func wait(for time: Duration) async {
        let (before, end) = (current, ContinuousClock.now + time)
        while current == before, ContinuousClock.now < end {
            let rest = ContinuousClock.now.duration(to: end)
            do { try await Task.sleep(for: min(rest, Self.pause)) } catch { return }
        }
    }

    // MARK: Announcements

    /// Listens to the sentinels until the task is cancelled.
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
            // A move may have been announced before the subscription.
            if current != nil { _ = try? await master() }
            while true {
                let message = try await connection.receive(within: Self.listening)
                guard let text = message.array?.last?.text, text.hasPrefix("\(settings.master) ") else { continue }
                // The answers of the other sentinels may still be outdated.
                _ = try? await master()
            }
        } catch {}
    }
}
