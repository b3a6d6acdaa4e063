import Link
import Wire

/// Prevents the source's clients from writing for a limited time with CLIENT PAUSE (Protocol 5.7), on an ordinary
/// connection.
///
/// The source ends a pause by itself, so a pause also ends in time if its owner was killed.
package actor WritePause {
    private static let finWait = Duration.seconds(1)
    /// The source waits `--pause_wait_timeout` seconds (1) for running commands, and refuses the pause if they continue.
    private static let attempts = 3

    private let settings: SourceSettings
    private let connection: RequestConnection
    /// When the pause ends by itself, counted from before it was requested; `nil` if none was requested, or after it was
    /// lifted.
    package private(set) var end: ContinuousClock.Instant?
    /// When the first pause was requested.
    package private(set) var began: ContinuousClock.Instant?
    /// Writers have been waiting without a gap since `began`: each pause was in force before the one before it could end.
    package private(set) var isUnbroken = true

    /// - Throws: `SourceError`
    package init(settings: SourceSettings) async throws(SourceError) {
        self.settings = settings
        connection = try await settings.connect(label: "df2redis.pause")
    }

    /// Pauses all writers for `limit` from now on, or extends a pause that is in force. When it returns, no write is under
    /// way.
    ///
    /// - Throws: `SourceError`; the source may be paused nevertheless.
    package func begin(for limit: Duration) async throws(SourceError) {
        let milliseconds = "\(max(1, limit.milliseconds))"
        let previousEnd = end
        for attempt in 1...Self.attempts {
            let asked = ContinuousClock.now
            began = began ?? asked
            end = max(end ?? asked + limit, asked + limit)
            let reply = try await uncancelled(["CLIENT", "PAUSE", milliseconds, "WRITE"])
            guard case .error(let text) = reply else {
                if let previousEnd, ContinuousClock.now >= previousEnd { isUnbroken = false }
                return
            }
            if text.contains("Failed to pause") {
                if attempt < Self.attempts { continue }
                throw SourceError(
                    .notReady, "the source cannot be paused: commands run for longer than it waits for them (\(text))")
            }
            throw SourceError.reply(text, toQuestion: "CLIENT PAUSE")
        }
    }

    /// Ends every pause of the source. If this connection is lost, another one is used.
    ///
    /// - Throws: `SourceError`; the pause then ends at `end`.
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

    /// Sends a request to its end even if the caller is cancelled, so that a pause cannot arrive after the request that
    /// ends it.
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
            return try await connection.request(words.map(\.bytes), timeout: settings.connectTimeout)
        } catch {
            throw SourceError(ordinary: error)
        }
    }

    /// Closes the connection FIN-first. A pause that is in force continues.
    package func close() async { _ = await connection.leave(within: Self.finWait) }
}
