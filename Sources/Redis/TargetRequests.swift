import Link
import Wire

/// Sends df2redis' own requests to one server, over one connection that is opened when it is needed.
///
/// Requests that belong together, such as a request with its SELECT or a transaction, have the connection to themselves.
/// Single requests to the selected database are sent one after another without waiting for the replies in between.
actor TargetRequests {
    /// Which other connections of its role a new connection ends, if the server may still hold one.
    enum Replacement: Sendable {
        case never
        /// Ends one that this process has opened and whose fate is unknown.
        case own
        /// Ends any other.
        case any
    }

    /// Connects. The first argument says whether to end another connection of the role first; the second one has questions
    /// that are sent with the greeting.
    typealias Connect = @Sendable (Bool, [[[UInt8]]]) async throws(TargetError) -> TargetConnector.Opened

    /// A connection that has been idle for this long may have been closed by a server with a `timeout`.
    private static let idleLimit = Duration.milliseconds(500)

    private let connect: Connect
    private let timeout: Duration
    private let replacement: Replacement
    private var connection: RequestConnection?
    private var hasConnected = false
    /// The number of connections that have been opened, which identifies the current one. A WATCH applies to one connection
    /// only.
    private(set) var connectionNumber = 0
    /// The database in which `connection` is.
    private var selected = SelectedDatabase()
    private var isTaken = false
    /// The number of single requests on their way.
    private var sharers = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(timeout: Duration, replacement: Replacement, connect: @escaping Connect) {
        self.connect = connect
        self.timeout = timeout
        self.replacement = replacement
    }

    /// Runs `body` while nobody else uses the connection.
    private func alone<R: Sendable>(
        _ body: () async throws(TargetError) -> R
    ) async throws(TargetError) -> R {
        if isTaken || sharers > 0 || !waiting.isEmpty {
            await withCheckedContinuation { waiting.append($0) }
        } else {
            isTaken = true
        }
        defer {
            isTaken = false
            handOn()
        }
        return try await body()
    }

    /// Gives the connection to the next caller that wants it alone, if nobody uses it.
    private func handOn() {
        guard !isTaken, sharers == 0, !waiting.isEmpty else { return }
        isTaken = true
        waiting.removeFirst().resume()
    }

    /// Returns the connection, and opens one if there is none that can be used.
    func open() async throws(TargetError) -> RequestConnection {
        if let connection, try await isUsable(connection) { return connection }
        return try await open(asking: []).connection
    }

    private func open(asking questions: [[[UInt8]]]) async throws(TargetError) -> TargetConnector.Opened {
        let opened = try await connect(replacement == .any || (replacement == .own && hasConnected), questions)
        hasConnected = true
        connection = opened.connection
        connectionNumber += 1
        selected = SelectedDatabase()
        return opened
    }

    /// A question and the database in which it is asked.
    struct Question: Sendable {
        var database: UInt32 = 0
        var words: [[UInt8]]

        init(_ words: [String], in database: UInt32 = 0) { self.init(words.map(\.bytes), in: database) }

        init(_ words: [[UInt8]], in database: UInt32 = 0) { (self.words, self.database) = (words, database) }
    }

    /// Asks questions that change nothing, all at once. If a connection is opened for them, they go with its greeting.
    ///
    /// - Returns: the answer, or an error reply, to each question.
    /// - Throws: `TargetError` if the connection cannot be opened or breaks.
    func ask(_ questions: [Question]) async throws(TargetError) -> [RESPValue] {
        try await alone { () throws(TargetError) in
            // (A closed connection shows itself when it is used, because a question may be asked twice.)
            if let connection, await !connection.isBroken {
                let (sent, isWanted) = Self.words(of: questions, from: selected.number)
                do {
                    let replies = try await connection.requests(sent, timeout: timeout)
                    selected.number = 0
                    return zip(replies, isWanted).compactMap { $1 ? $0 : nil }
                } catch {
                    // As in `demand`, an idle connection may be closed while a request is on its way.
                    guard await connection.wasClosedInSilence else { throw TargetError(error) }
                }
            }
            let (sent, isWanted) = Self.words(of: questions, from: 0)
            return zip(try await open(asking: sent).answers, isWanted).compactMap { $1 ? $0 : nil }
        }
    }

    /// The requests for the questions, each in its database and ending in database 0, and which of the requests are
    /// questions.
    private static func words(
        of questions: [Question], from database: UInt32?
    ) -> (sent: [[[UInt8]]], isWanted: [Bool]) {
        var (sent, isWanted, current): ([[[UInt8]]], [Bool], UInt32?) = ([], [], database)
        func select(_ database: UInt32) {
            guard database != current else { return }
            sent.append(["SELECT", "\(database)"].map(\.bytes))
            isWanted.append(false)
            current = database
        }
        for question in questions {
            select(question.database)
            sent.append(question.words)
            isWanted.append(true)
        }
        select(0)
        return (sent, isWanted)
    }

    /// Whether a request can be sent on `connection`. If the connection may be closing already, a PING is sent first,
    /// because the fate of a request on a closing connection would be unknown.
    private func isUsable(_ connection: RequestConnection) async throws(TargetError) -> Bool {
        if await connection.isBroken { return false }
        guard await connection.idleTime >= Self.idleLimit else { return true }
        do {
            _ = try await connection.request("PING", timeout: timeout)
            return true
        } catch RequestFailure.closedByPeer, RequestFailure.system {
            return false
        } catch {
            throw TargetError(error)
        }
    }

    /// Sends a request, in `database` if one is named.
    ///
    /// - Parameter isAsking: whether the key's slot is moving to this server.
    /// - Throws: `TargetError`, also for an error reply.
    func demand(
        _ arguments: [[UInt8]], in database: UInt32? = nil, isAsking: Bool = false, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        if !isAsking, let reply = try await shared(arguments, in: database, timeout) { return reply }
        return try await alone { () throws(TargetError) in
            let connection = try await open()
            do throws(TargetError) {
                return try await demand(arguments, in: database, isAsking, on: connection, timeout)
            } catch {
                // An idle connection may be closed while a request is on its way. Each of our requests may be made twice,
                // and a new connection first ends the previous one.
                guard await connection.wasClosedInSilence else { throw error }
                return try await demand(arguments, in: database, isAsking, on: open(), timeout)
            }
        }
    }

    /// Sends a request while others may be on their way.
    ///
    /// - Returns: `nil` if this is not possible, or if the request may not have arrived.
    private func shared(
        _ arguments: [[UInt8]], in database: UInt32?, _ timeout: Duration?
    ) async throws(TargetError) -> RESPValue? {
        guard !isTaken, waiting.isEmpty, let connection, database == nil || database == selected.number else {
            return nil
        }
        sharers += 1
        defer {
            sharers -= 1
            handOn()
        }
        guard await !connection.isBroken, await connection.idleTime < Self.idleLimit else { return nil }
        do throws(TargetError) {
            return try await demand(arguments, in: nil, false, on: connection, timeout)
        } catch {
            if await connection.wasClosedInSilence { return nil }
            throw error
        }
    }

    private func demand(
        _ arguments: [[UInt8]], in database: UInt32?, _ isAsking: Bool, on connection: RequestConnection,
        _ timeout: Duration?
    ) async throws(TargetError) -> RESPValue {
        let sequence = RequestSequence(
            connection, selected, timeout: timeout ?? self.timeout, isAsking: isAsking)
        // Both requests use one connection, because another one may be in another database.
        if let database { _ = try await sequence.demand("SELECT", String(database)) }
        return try await sequence.demand(arguments)
    }

    /// Sends independent requests to a database, all at once. The server executes them in this order.
    ///
    /// - Returns: the reply, or an error reply, to each request.
    /// - Throws: `TargetError` if the connection breaks.
    func pipeline(_ requests: [[[UInt8]]], in database: UInt32) async throws(TargetError) -> [RESPValue] {
        try await alone { () throws(TargetError) in
            let connection = try await open()
            // The SELECT goes separately: if it fails, nothing else may run.
            try await RequestSequence(connection, selected, timeout: timeout).demand("SELECT", String(database))
            do {
                return try await connection.requests(requests, timeout: timeout)
            } catch {
                throw TargetError(error)
            }
        }
    }

    /// Makes requests that belong together on one connection. If one of them fails, the connection is closed, because it may
    /// be in the middle of a transaction.
    func sequence<R: Sendable>(
        isAsking: Bool = false, _ body: @Sendable (RequestSequence) async throws(TargetError) -> R
    ) async throws(TargetError) -> R {
        try await alone { () throws(TargetError) in
            let connection = try await open()
            let sequence = RequestSequence(
                connection, selected, timeout: timeout, isAsking: isAsking, number: connectionNumber)
            do throws(TargetError) { return try await body(sequence) } catch {
                await close()
                throw error
            }
        }
    }

    /// Reconnects. Whatever the previous connection has sent has taken effect by then, or never will: see `TargetConnector`.
    func renew() async throws(TargetError) {
        await close()
        _ = try await open()
    }

    func close() async {
        await connection?.close()
        connection = nil
    }
}

/// The database that a connection is in, as far as is known.
final class SelectedDatabase: Sendable {
    private let state = Lock<UInt32?>(0)

    /// The number of the database; `nil` if it is not known.
    var number: UInt32? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

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
    func demand(_ words: String...) async throws(TargetError) -> RESPValue { try await demand(words) }

    @discardableResult
    func demand(_ words: [String]) async throws(TargetError) -> RESPValue {
        try await demand(words.map(\.bytes))
    }

    /// - Throws: `TargetError`, also for an error reply.
    @discardableResult
    func demand(_ arguments: [[UInt8]]) async throws(TargetError) -> RESPValue {
        let reply = try await send(arguments)
        if case .error(let text) = reply { throw Self.refusal(text, of: arguments) }
        return reply
    }

    /// Sends a request like `demand`, but returns an error reply as a value.
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
        try Self.demandSuccess(replies.prefix(change.count), of: change)
        guard case .array(.some(let outcomes)) = replies[change.count - 1] else { return nil }
        try Self.demandSuccess(outcomes[...], of: commands)
        return Array(replies.dropFirst(change.count))
    }

    static func demandSuccess(_ replies: ArraySlice<RESPValue>, of commands: [[String]]) throws(TargetError) {
        for (reply, command) in zip(replies, commands) {
            if case .error(let text) = reply { throw refusal(text, of: command.map(\.bytes)) }
        }
    }

    func demandAll(_ commands: [[String]]) async throws(TargetError) -> [RESPValue] {
        try await demandAll(commands.map { words in words.map(\.bytes) })
    }

    /// Sends requests at once, none of which depends on the reply to another.
    ///
    /// - Throws: `TargetError`, also for the first error reply; the other requests have been sent, too.
    func demandAll(_ requests: [[[UInt8]]]) async throws(TargetError) -> [RESPValue] {
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
