import Link
import Wire

/// Reads values at a master on its own ordinary connection (Protocol 2.11).
package actor ValueReader {
    /// The rights that the user needs in addition to those for replication.
    package static let rights = "+DUMP +PEXPIRETIME +SELECT +MEMORY ~*"
    private static let answerTimeout = Duration.seconds(30)

    private let flowCount: Int
    private let connection: SourceConnection

    /// - Parameters:
    ///   - replicationID: the session's replication id; values of any other master are refused.
    ///   - socketName: the connection's name in `socketStore`.
    package init(
        settings: SourceSettings, replicationID: String, flowCount: Int, socketStore: any SocketStore,
        socketName: String = StoredSocketName.values
    ) {
        self.flowCount = flowCount
        connection = SourceConnection(
            settings: settings, socketStore: socketStore, socketName: socketName, label: "df2redis.values"
        ) { connection in
            // Another process may have this address by now.
            let reply = try await connection.request("INFO", "replication", timeout: settings.connectTimeout)
            if case .error(let text) = reply { throw SourceError.reply(text, toQuestion: "INFO") }
            guard ServerInfo(reply.text)["master_replid"] == replicationID else {
                throw SourceError(
                    .notReady, "the source at \(settings.endpoint) is another one than that which is followed")
            }
        }
    }

    /// The size of each key in bytes, as far as the source reports it; otherwise 0. The result is a failure if the source
    /// does not have the key's database.
    ///
    /// - Throws: `SourceError`.
    package func sizes(
        of keys: [(database: UInt32, key: [UInt8])]
    ) async throws(SourceError) -> [Result<Int, SourceError>] {
        let answers = try await ask(keys) { [["MEMORY".bytes, "USAGE".bytes, $0]] }.keys
        return try answers.map { (answer) throws(SourceError) in
            let reply: RESPValue
            do throws(SourceError) { reply = try answer.get()[0] } catch { return .failure(error) }
            if case .error(let text) = reply { throw Self.refusal(text, of: "MEMORY USAGE") }
            return .success(reply.int.map { Int($0) } ?? 0)
        }
    }

    /// Reads all `keys` between two requests for the shards' positions.
    ///
    /// - Throws: `SourceError`.
    package func read(_ keys: [(database: UInt32, key: [UInt8])]) async throws(SourceError) -> SourceReading {
        let (dump, expiry) = ("DUMP".bytes, "PEXPIRETIME".bytes)
        let answers = try await ask(keys, around: Self.offsets) { [[expiry, $0], [dump, $0]] }
        let replies = try answers.keys.map { (answer) throws(SourceError) in try answer.get() }
        let values = try replies.map { (replies) throws(SourceError) in try value(replies) }
        return SourceReading(before: try lsns(answers.before), after: try lsns(answers.after), values: values)
    }

    /// The question for the next LSN of each shard.
    private static let offsets = ["DFLY".bytes, "REPLICAOFFSET".bytes]

    // MARK: In pieces

    /// What a key holds, with the shards' positions before it was read.
    package struct Head: Sendable {
        /// The reply to `TYPE`; "none" if there is no such key.
        package var type: String
        /// Unix time in milliseconds; `nil` if the key has no TTL.
        package var expiresAt: Int64?
        package var before: [LSN]
    }

    /// - Throws: `SourceError`.
    package func head(of key: [UInt8], in database: UInt32) async throws(SourceError) -> Head {
        let answers = try await ask([(database, key)], around: Self.offsets) {
            [["TYPE".bytes, $0], ["PEXPIRETIME".bytes, $0]]
        }
        let replies = try answers.keys[0].get()
        for (reply, command) in zip(replies, ["TYPE", "PEXPIRETIME"]) {
            if case .error(let text) = reply { throw Self.refusal(text, of: command) }
        }
        guard let type = replies[0].text, let expiresAt = replies[1].int else {
            throw SourceError(.protocolViolation, "the source does not answer TYPE and PEXPIRETIME")
        }
        return Head(
            type: expiresAt == -2 ? "none" : type, expiresAt: expiresAt < 0 ? nil : expiresAt,
            before: try lsns(answers.before))
    }

    /// The next LSN of each shard.
    ///
    /// - Throws: `SourceError`.
    package func positions() async throws(SourceError) -> [LSN] {
        try lsns(try await ask([], around: Self.offsets) { _ in [] }.before)
    }

    /// The shard that a key is in, according to the source.
    ///
    /// - Returns: `nil` if the source does not have the key.
    /// - Throws: `SourceError`, with the code `permission` if the user may not use `DEBUG`.
    package func shard(of key: [UInt8], in database: UInt32) async throws(SourceError) -> FlowID? {
        let reply = try await answers(to: [["DEBUG".bytes, "OBJECT".bytes, key]], in: database)[0]
        if case .error(let text) = reply {
            let refusal = SourceError.reply(text, toQuestion: "DEBUG")
            if refusal.code == .permission { throw refusal }
            return nil
        }
        let word = (reply.text ?? "").split(separator: " ").first { $0.hasPrefix("shard:") }
        return word.flatMap { Int($0.dropFirst("shard:".count)) }.flatMap { $0 < flowCount ? FlowID($0) : nil }
    }

    /// Whether the source hashes only the tags of keys, because it is in cluster mode.
    ///
    /// - Throws: `SourceError`.
    package func hashesTags() async throws(SourceError) -> Bool {
        let reply = try await answers(to: [["INFO".bytes, "cluster".bytes]], in: 0)[0]
        if case .error(let text) = reply { throw SourceError.reply(text, toQuestion: "INFO") }
        return (reply.text ?? "").split(whereSeparator: \.isNewline).contains("cluster_enabled:1")
    }

    /// The replies to `commands` about one key. Error replies are returned as values.
    ///
    /// - Throws: `SourceError` if the connection breaks.
    func answers(to commands: [[[UInt8]]], in database: UInt32) async throws(SourceError) -> [RESPValue] {
        try await ask([(database, [])]) { _ in commands }.keys[0].get()
    }

    // MARK: Replies

    private func value(_ replies: [RESPValue]) throws(SourceError) -> SourceValue? {
        for (reply, command) in zip(replies, ["PEXPIRETIME", "DUMP"]) {
            if case .error(let text) = reply { throw Self.refusal(text, of: command) }
        }
        guard let expiresAt = replies[0].int else {
            throw SourceError(.protocolViolation, "the source does not answer PEXPIRETIME with a number")
        }
        let payload = replies[1].bytes
        // -2 means that there was no such key.
        guard (payload == nil) == (expiresAt == -2) else { return nil }
        return SourceValue(payload: payload, expiresAt: expiresAt < 0 ? nil : expiresAt)
    }

    private func lsns(_ reply: RESPValue?) throws(SourceError) -> [LSN] {
        if case .error(let text) = reply { throw Self.refusal(text, of: "DFLY REPLICAOFFSET") }
        let offsets = (reply?.array ?? []).compactMap { $0.int.map { LSN(UInt64(clamping: $0)) } }
        guard offsets.count == flowCount else {
            throw SourceError(.protocolViolation, "DFLY REPLICAOFFSET does not give an offset for each flow")
        }
        return offsets
    }

    private static func refusal(_ text: String, of command: String) -> SourceError {
        SourceError.reply(text, toQuestion: command)
    }

    private func ask(
        _ keys: [(database: UInt32, key: [UInt8])], around edge: [[UInt8]]? = nil,
        _ questions: ([UInt8]) -> [[[UInt8]]]
    ) async throws(SourceError) -> KeyQuestions.Answers {
        let questions = KeyQuestions(about: keys, around: edge, questions)
        let replies: [RESPValue]
        do {
            replies = try await connection.open().requests(questions.commands, timeout: Self.answerTimeout)
        } catch {
            throw SourceError(ordinary: error)
        }
        return try questions.answers(replies)
    }

    /// Closes the connection FIN-first.
    package func close() async { await connection.close() }
}
