import Link
import Wire

/// The answer of one sentinel to the question where a master is.
package struct SentinelAnswer: Sendable {
    enum Content: Sendable {
        /// - epoch: the epoch of the sentinel's configuration, which grows with each failover; 0 if the sentinel does not
        ///   say.
        case master(Endpoint, epoch: Int64)
        /// The sentinel has no master of this name, but it has these.
        case unknown([String])
        case failure(TargetError)
    }

    let sentinel: Endpoint
    let content: Content

    init(sentinel: Endpoint, content: Content) {
        (self.sentinel, self.content) = (sentinel, content)
    }

    /// Asks all sentinels of `settings` at the same time. The answers have the order of the sentinels.
    package static func askAll(_ settings: SentinelSettings, timeout: Duration) async -> [SentinelAnswer] {
        await withTaskGroup(of: (Int, SentinelAnswer).self) { group in
            for (index, endpoint) in settings.endpoints.enumerated() {
                group.addTask { (index, await ask(endpoint, settings, timeout: timeout)) }
            }
            var answers: [(Int, SentinelAnswer)] = []
            for await answer in group { answers.append(answer) }
            return answers.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    /// Asks `sentinel`. If the sentinel does not answer, the answer is a `failure`.
    static func ask(_ sentinel: Endpoint, _ settings: SentinelSettings, timeout: Duration) async -> SentinelAnswer {
        do throws(TargetError) {
            let connection = try await connect(to: sentinel, settings, timeout: timeout)
            do {
                let content = try await content(of: connection, settings.master, timeout: timeout)
                await connection.close()
                return SentinelAnswer(sentinel: sentinel, content: content)
            } catch {
                await connection.close()
                throw failure(error)
            }
        } catch {
            return SentinelAnswer(sentinel: sentinel, content: .failure(error))
        }
    }

    /// Opens an authenticated connection to a sentinel.
    static func connect(
        to sentinel: Endpoint, _ settings: SentinelSettings, timeout: Duration
    ) async throws(TargetError) -> RequestConnection {
        do {
            let connection = try await RequestConnection.connect(
                to: sentinel, tls: settings.tls, label: "df2redis.sentinel", timeout: timeout)
            guard let arguments = authentication(user: settings.user, password: settings.password) else {
                return connection
            }
            do {
                let reply = try await connection.request(arguments.map(\.bytes), timeout: timeout)
                if case .error(let text) = reply { throw refusal(text, by: sentinel) }
                return connection
            } catch {
                await connection.close()
                throw error
            }
        } catch {
            throw failure(error)
        }
    }

    private static func content(
        of connection: RequestConnection, _ master: String, timeout: Duration
    ) async throws -> Content {
        let reply = try await connection.request("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master, timeout: timeout)
        if case .error(let text) = reply { throw refusal(text, by: connection.endpoint) }
        if let words = reply.array, words.count == 2, let host = words[0].text,
            let port = words[1].text.flatMap({ UInt16($0) })
        {
            let more = try await connection.request("SENTINEL", "MASTER", master, timeout: timeout)
            return .master(
                Endpoint(host: host, port: port), epoch: field("config-epoch", of: more).flatMap { Int64($0) } ?? 0)
        }
        guard reply.isNull else {
            throw TargetError(
                .sentinel, "\(connection.endpoint) does not answer as a sentinel does: correct target.sentinel.addrs")
        }
        let others = try await connection.request("SENTINEL", "MASTERS", timeout: timeout)
        return .unknown((others.array ?? []).compactMap { field("name", of: $0) })
    }

    private static func field(_ name: String, of reply: RESPValue) -> String? {
        guard let words = reply.array, let place = words.firstIndex(where: { $0.text == name }), place + 1 < words.count
        else { return nil }
        return words[place + 1].text
    }

    private static func refusal(_ text: String, by sentinel: Endpoint) -> TargetError {
        if text.hasPrefix("NOAUTH") {
            return TargetError(
                .permission, "the sentinel \(sentinel) requires a password: set target.sentinel.password (\(text))")
        }
        if text.hasPrefix("WRONGPASS") || text.contains("invalid password") || text.contains("without any password") {
            return TargetError(
                .permission, "the sentinel \(sentinel) refuses target.sentinel.password or username: \(text)")
        }
        if text.hasPrefix("NOPERM") {
            return TargetError(
                .permission,
                "the sentinel \(sentinel) forbids target.sentinel.username to ask: add +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters to the user (\(text))"
            )
        }
        if text.contains("unknown command") {
            return TargetError(.sentinel, "\(sentinel) is no sentinel: correct target.sentinel.addrs (\(text))")
        }
        return TargetError(.notReady, "the sentinel \(sentinel) does not say where the master is: \(text)")
    }

    private static func failure(_ error: any Error) -> TargetError {
        switch error {
        case let error as TargetError: error
        case RequestFailure.tls(let error): TargetError(error, of: "the sentinel")
        case RequestFailure.needsTLS(let peer):
            TargetError(.tls, "the sentinel \(peer) speaks TLS on this port: set target.sentinel.tls.enabled")
        default: TargetError(.unreachable, "\(error)")
        }
    }
}
