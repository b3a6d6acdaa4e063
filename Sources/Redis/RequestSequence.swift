import Link
import Wire

/// Requests on one connection, one after another.
struct RequestSequence: Sendable {
    let connection: RequestConnection
    private let selected: SelectedDatabase
    private let timeout: Duration
    private let isAsking: Bool
    private let isInTransaction = Lock(false)
    /// The number of the connection among those that `TargetRequests` has opened.
    let number: Int

    /// - Parameters:
    ///   - selected: the database in which the connection is.
    ///   - isAsking: whether the slot of the keys is moving to the server.
    init(
        _ connection: RequestConnection, _ selected: SelectedDatabase, timeout: Duration, isAsking: Bool = false,
        number: Int = 0
    ) {
        (self.connection, self.selected, self.timeout, self.isAsking) = (connection, selected, timeout, isAsking)
        self.number = number
    }

    @discardableResult
    func execute(_ words: String...) async throws(TargetError) -> RESPValue { try await execute(words) }

    @discardableResult
    func execute(_ words: [String]) async throws(TargetError) -> RESPValue {
        try await execute(words.map(\.bytes))
    }

    /// - Throws: `TargetError`, also for an error reply.
    @discardableResult
    func execute(_ arguments: [[UInt8]]) async throws(TargetError) -> RESPValue {
        let reply = try await send(arguments)
        if case .error(let text) = reply { throw Self.refusal(text, of: arguments) }
        return reply
    }

    /// Sends a request like `execute`, but returns an error reply as a value.
    func ask(_ words: String...) async throws(TargetError) -> RESPValue {
        try await send(words.map(\.bytes))
    }

    /// Sends commands at once and returns error replies as values. The commands must not contain a SELECT outside a
    /// transaction, and must begin and end outside a transaction.
    func askAll(_ commands: [[String]]) async throws(TargetError) -> [RESPValue] {
        do {
            return try await connection.requests(commands.map { $0.map(\.bytes) }, timeout: timeout)
        } catch {
            throw TargetError(error)
        }
    }

    /// Sends a transaction, and questions that are asked after it, all at once.
    ///
    /// - Parameter questions: the commands after the transaction, with the same restrictions as for `askAll`.
    /// - Returns: the answers to the questions; `nil` if a watched key has changed, in which case nothing is done.
    /// - Throws: `TargetError`, also for a refused command. If it was refused when it was queued, nothing has been done; if
    ///   it was refused when the transaction ran, the other commands have taken effect.
    func transaction(
        _ commands: [[String]], asking questions: [[String]] = []
    ) async throws(TargetError) -> [RESPValue]? {
        let change = [["MULTI"]] + commands + [["EXEC"]]
        let replies = try await askAll(change + questions)
        try Self.requireSuccess(replies.prefix(change.count), of: change)
        guard case .array(.some(let outcomes)) = replies[change.count - 1] else { return nil }
        try Self.requireSuccess(outcomes[...], of: commands)
        return Array(replies.dropFirst(change.count))
    }

    static func requireSuccess(_ replies: ArraySlice<RESPValue>, of commands: [[String]]) throws(TargetError) {
        for (reply, command) in zip(replies, commands) {
            if case .error(let text) = reply { throw refusal(text, of: command.map(\.bytes)) }
        }
    }

    func executeAll(_ commands: [[String]]) async throws(TargetError) -> [RESPValue] {
        try await executeAll(commands.map { words in words.map(\.bytes) })
    }

    /// Sends requests at once, none of which depends on the reply to another.
    ///
    /// - Throws: `TargetError`, also for the first error reply; the other requests have been sent, too.
    func executeAll(_ requests: [[[UInt8]]]) async throws(TargetError) -> [RESPValue] {
        var (sent, isReplyWanted): ([[[UInt8]]], [Bool]) = ([], [])
        for arguments in requests {
            let preamble = preamble(to: Self.name(of: arguments))
            sent += preamble + [arguments]
            isReplyWanted += preamble.map { _ in false } + [true]
        }
        let replies: [RESPValue]
        do {
            replies = try await connection.requests(sent, timeout: timeout)
        } catch {
            throw TargetError(error)
        }
        for (reply, arguments) in zip(replies, sent) {
            if case .error(let text) = reply { throw Self.refusal(text, of: arguments) }
        }
        return zip(replies, isReplyWanted).compactMap { $1 ? $0 : nil }
    }

    /// The error for an error reply. If the key has the wrong type, the error names the key, which is df2redis' own.
    private static func refusal(_ text: String, of arguments: [[UInt8]]) -> TargetError {
        let isOfKey = text.hasPrefix("WRONGTYPE") && arguments.count > 1
        return .reply(
            text, to: name(of: arguments), key: isOfKey ? String(decoding: arguments[1], as: UTF8.self) : "")
    }

    private static func name(of arguments: [[UInt8]]) -> String { String(decoding: arguments[0], as: UTF8.self) }

    /// The requests that must be sent before a request. Notes how the request changes the connection's state.
    private func preamble(to name: String) -> [[[UInt8]]] {
        // ASKING applies to one command, or to a whole transaction.
        let asks = isAsking && name != "SELECT" && !isInTransaction.withLock { $0 }
        if name == "MULTI" || name == "EXEC" { isInTransaction.withLock { $0 = name == "MULTI" } }
        // A SELECT in a transaction takes effect with the transaction, if at all.
        if name == "SELECT" { selected.number = nil }
        return asks ? [["ASKING".bytes]] : []
    }

    /// Sends a request, unless it selects the database in which the connection already is.
    private func send(_ arguments: [[UInt8]]) async throws(TargetError) -> RESPValue {
        let name = Self.name(of: arguments)
        let selects = name == "SELECT" && !isInTransaction.withLock { $0 }
        let database = selects ? UInt32(String(decoding: arguments[1], as: UTF8.self)) : nil
        if let database, database == selected.number { return .simple("OK") }
        do {
            for command in preamble(to: name) {
                let reply = try await connection.request(command, timeout: timeout)
                if case .error(let text) = reply { throw TargetError.reply(text, to: Self.name(of: command)) }
            }
            let reply = try await connection.request(arguments, timeout: timeout)
            if selects, reply.isOK { selected.number = database }
            return reply
        } catch {
            throw TargetError(error)
        }
    }
}
