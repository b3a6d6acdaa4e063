import Link
import Wire

/// Keeps the source's clients from writing for a bounded time: CLIENT PAUSE (Protocol 5.7), over an ordinary connection.
///
/// The source ends a pause by itself, so one whose owner has been killed is over in time too.
package actor WritePause {
    private static let finWait = Duration.seconds(1)
    /// The source waits for commands that run, `--pause_wait_timeout` seconds (1), and refuses when they go on.
    private static let attempts = 3

    private let settings: SourceSettings
    private let connection: RequestConnection
    /// When the pause ends by itself, counted from before it was asked for; `nil`: none was asked for.
    package private(set) var end: ContinuousClock.Instant?
    /// When the first pause was asked for.
    package private(set) var began: ContinuousClock.Instant?

    /// - Throws: `SourceError`
    package init(settings: SourceSettings) async throws(SourceError) {
        self.settings = settings
        connection = try await settings.connect(label: "df2redis.pause")
    }

    /// Pauses all writers for `limit`, from now on; one that is in force already is made longer. Once it returns, no write
    /// is under way.
    ///
    /// - Throws: `SourceError`; the source may have been paused by then.
    package func begin(for limit: Duration) async throws(SourceError) {
        let milliseconds = "\(max(1, limit.milliseconds))"
        for attempt in 1...Self.attempts {
            let asked = ContinuousClock.now
            began = began ?? asked
            end = max(end ?? asked + limit, asked + limit)
            let reply = try await uncancelled(["CLIENT", "PAUSE", milliseconds, "WRITE"])
            guard case .error(let text) = reply else { return }
            if text.contains("Failed to pause") {
                if attempt < Self.attempts { continue }
                throw SourceError(
                    .notReady, "the source cannot be paused: commands run for longer than it waits for them (\(text))")
            }
            throw SourceError.reply(text, toQuestion: "CLIENT PAUSE")
        }
    }

    /// Ends every pause of the source, over another connection where this one is lost.
    ///
    /// - Throws: `SourceError`; then the pause ends at `end`.
    package func lift() async throws(SourceError) {
        guard end != nil else { return }
        do throws(SourceError) {
            try check(await uncancelled(["CLIENT", "UNPAUSE"]))
        } catch {
            if error.code == .permission { throw error }
            let another = try await settings.connect(label: "df2redis.unpause")
            do {
                let reply = try await another.request("CLIENT", "UNPAUSE", timeout: settings.connectTimeout)
                _ = await another.leave(within: Self.finWait)
                try check(reply)
            } catch {
                throw SourceError(ordinary: error)
            }
        }
        end = nil
    }

    private func check(_ reply: RESPValue) throws(SourceError) {
        if case .error(let text) = reply { throw SourceError.reply(text, toQuestion: "CLIENT UNPAUSE") }
    }

    /// The next LSN of each shard.
    ///
    /// - Throws: `SourceError`
    package func nextLSNs() async throws(SourceError) -> [UInt64] {
        let reply = try await request(["DFLY", "REPLICAOFFSET"])
        if case .error(let text) = reply { throw SourceError.reply(text, toQuestion: "DFLY") }
        let numbers = (reply.array ?? []).compactMap { $0.int.map { UInt64(clamping: $0) } }
        guard !numbers.isEmpty else {
            throw SourceError(.protocolViolation, "the source's answer to DFLY REPLICAOFFSET cannot be read")
        }
        return numbers
    }

    /// What was asked for is asked for whatever becomes of the caller: a pause must not come after its end.
    private func uncancelled(_ words: [String]) async throws(SourceError) -> RESPValue {
        let work = Task { try await request(words) }
        do {
            return try await work.value
        } catch {
            throw SourceError(ordinary: error)
        }
    }

    private func request(_ words: [String]) async throws(SourceError) -> RESPValue {
        do {
            return try await connection.request(words.map { Array($0.utf8) }, timeout: settings.connectTimeout)
        } catch {
            throw SourceError(ordinary: error)
        }
    }

    /// FIN-first. A pause that is in force stays so.
    package func close() async { _ = await connection.leave(within: Self.finWait) }
}
