import Link
import Wire

/// Requests of df2redis' own to one server, on one connection that is opened when it is needed.
///
/// What belongs together, a request with the choice of its database or a transaction, has the connection to itself
/// meanwhile. Single requests to the database that is chosen already are sent one after the other, without waiting for the
/// replies in between.
actor TargetRequests {
    /// What a connection does to one of its role that the server may still hold.
    enum Replacement: Sendable {
        case never
        /// Ends one that this process has opened, of unknown fate.
        case own
        /// Ends any.
        case any
    }

    /// Connects; the first argument asks for the end of another connection of the role first, the second one is asked with
    /// the greeting.
    typealias Connect = @Sendable (Bool, [[[UInt8]]]) async throws(TargetError) -> TargetConnector.Opened

    /// A connection that has been idle for so long may have been closed by a server with a `timeout`.
    private static let idleLimit = Duration.milliseconds(500)

    private let connect: Connect
    private let timeout: Duration
    private let replacement: Replacement
    private var connection: RequestConnection?
    private var hasConnected = false
    /// Connections that have been opened: the number of this one. What one watches another does not.
    private(set) var connectionNumber = 0
    /// Which database `connection` is in.
    private var selected = SelectedDatabase()
    private var isTaken = false
    /// Single requests on their way.
    private var sharers = 0
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(timeout: Duration, replacement: Replacement, connect: @escaping Connect) {
        self.connect = connect
        self.timeout = timeout
        self.replacement = replacement
    }

    /// Runs `body` when nobody else uses the connection.
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

    /// Gives the connection to the next one that wants it alone, as soon as nobody uses it.
    private func handOn() {
        guard !isTaken, sharers == 0, !waiting.isEmpty else { return }
        isTaken = true
        waiting.removeFirst().resume()
    }

    /// The connection, opened if there is none that can be used.
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

    /// Something to ask in a database.
    struct Question: Sendable {
        var database: UInt32 = 0
        var words: [[UInt8]]

        init(_ words: [String], in database: UInt32 = 0) { self.init(words.map { Array($0.utf8) }, in: database) }

        init(_ words: [[UInt8]], in database: UInt32 = 0) { (self.words, self.database) = (words, database) }
    }

    /// Asks what changes nothing, all at once, with the greeting of a connection that is opened for it.
    ///
    /// - Returns: an answer, or an error reply, to each.
    /// - Throws: `TargetError` when the connection cannot be opened, or breaks.
    func ask(_ questions: [Question]) async throws(TargetError) -> [RESPValue] {
        try await alone { () throws(TargetError) in
            // (A connection that has been closed shows itself: a question may be asked twice.)
            if let connection, await !connection.isBroken {
                let (sent, isWanted) = Self.words(of: questions, from: selected.number)
                do {
                    let replies = try await connection.requests(sent, timeout: timeout)
                    selected.number = 0
                    return zip(replies, isWanted).compactMap { $1 ? $0 : nil }
                } catch {
                    // As for `demand`: an idle connection may be closed with a request on its way.
                    guard await connection.wasClosedInSilence else { throw TargetError(error) }
                }
            }
            let (sent, isWanted) = Self.words(of: questions, from: 0)
            return zip(try await open(asking: sent).answers, isWanted).compactMap { $1 ? $0 : nil }
        }
    }

    /// The questions, each in its database, and back to database 0; and which of it are questions.
    private static func words(
        of questions: [Question], from database: UInt32?
    ) -> (sent: [[[UInt8]]], isWanted: [Bool]) {
        var (sent, isWanted, current): ([[[UInt8]]], [Bool], UInt32?) = ([], [], database)
        func select(_ database: UInt32) {
            guard database != current else { return }
            sent.append(["SELECT", "\(database)"].map { Array($0.utf8) })
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

    /// Whether a request can be sent on `connection`. One that may be closing already is asked first: what became of a
    /// request that met its end, nobody would know.
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

    /// Sends a request, to a database if one is named.
    ///
    /// - Parameter isAsking: the key's slot is on its way to this server.
    /// - Throws: `TargetError`, for an error reply too.
    func demand(
        _ arguments: [[UInt8]], in database: UInt32? = nil, isAsking: Bool = false, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        if !isAsking, let reply = try await shared(arguments, in: database, timeout) { return reply }
        return try await alone { () throws(TargetError) in
            let connection = try await open()
            do throws(TargetError) {
                return try await demand(arguments, in: database, isAsking, on: connection, timeout)
            } catch {
                // An idle connection may be closed with a request on its way. Each of our requests may be made twice, and
                // a new connection ends the one before first.
                guard await connection.wasClosedInSilence else { throw error }
                return try await demand(arguments, in: database, isAsking, on: open(), timeout)
            }
        }
    }

    /// Sends a request while others may be on their way.
    ///
    /// - Returns: `nil` when that cannot be, or when it may not have arrived.
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
        // On one connection: another one would be in another database.
        if let database { _ = try await sequence.demand("SELECT", String(database)) }
        return try await sequence.demand(arguments)
    }

    /// Sends requests that do not depend on each other, all at once, to a database; they are executed in this order.
    ///
    /// - Returns: a reply, or an error reply, to each.
    /// - Throws: `TargetError` when the connection breaks.
    func pipeline(_ requests: [[[UInt8]]], in database: UInt32) async throws(TargetError) -> [RESPValue] {
        try await alone { () throws(TargetError) in
            let connection = try await open()
            // By itself: where the database cannot be chosen, nothing else is to run.
            try await RequestSequence(connection, selected, timeout: timeout).demand("SELECT", String(database))
            do {
                return try await connection.requests(requests, timeout: timeout)
            } catch {
                throw TargetError(error)
            }
        }
    }

    /// Makes requests that belong together on one connection, which is closed when one of them fails: it may be in the
    /// middle of a transaction.
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

    /// Connects anew. What the connection before has sent has taken effect by then, or never will: see `TargetConnector`.
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

    /// `nil`: it is not known.
    var number: UInt32? {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// Requests on one connection, one after the other.
struct RequestSequence: Sendable {
    let connection: RequestConnection
    private let selected: SelectedDatabase
    private let timeout: Duration
    private let isAsking: Bool
    private let isInTransaction = Lock(false)
    /// Of the connection, among those that `TargetRequests` has opened.
    let number: Int

    /// - Parameters:
    ///   - selected: of the connection.
    ///   - isAsking: the slot of the keys is on its way to the server.
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
        try await demand(words.map { Array($0.utf8) })
    }

    /// - Throws: `TargetError`, for an error reply too.
    @discardableResult
    func demand(_ arguments: [[UInt8]]) async throws(TargetError) -> RESPValue {
        let reply = try await send(arguments)
        if case .error(let text) = reply { throw Self.refusal(text, of: arguments) }
        return reply
    }

    /// As `demand`; an error reply is a value.
    func ask(_ words: String...) async throws(TargetError) -> RESPValue {
        try await send(words.map { Array($0.utf8) })
    }

    /// Sends commands at once that are no SELECT and begin and end outside of a transaction; an error reply is a value.
    func askAll(_ commands: [[String]]) async throws(TargetError) -> [RESPValue] {
        do {
            return try await connection.requests(commands.map { $0.map { Array($0.utf8) } }, timeout: timeout)
        } catch {
            throw TargetError(error)
        }
    }

    /// Sends a transaction, and questions that are asked after it, all at once.
    ///
    /// - Parameter questions: as for `askAll`.
    /// - Returns: the answers to the questions; `nil` when a key that is watched has changed, and nothing has been done.
    /// - Throws: `TargetError`, for a command that is refused too: nothing has been done then but what those did that were
    ///   not refused when the transaction ran.
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
            if case .error(let text) = reply { throw refusal(text, of: command.map { Array($0.utf8) }) }
        }
    }

    func demandAll(_ commands: [[String]]) async throws(TargetError) -> [RESPValue] {
        try await demandAll(commands.map { words in words.map { Array($0.utf8) } })
    }

    /// Sends requests at once, of which none needs the reply to another.
    ///
    /// - Throws: `TargetError`, for an error reply too: the first; the others have been sent.
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

    /// What an error reply means. The keys of these requests are df2redis' own, so that one of another type is named.
    private static func refusal(_ text: String, of arguments: [[UInt8]]) -> TargetError {
        let isOfKey = text.hasPrefix("WRONGTYPE") && arguments.count > 1
        return .reply(
            text, to: name(of: arguments), key: isOfKey ? String(decoding: arguments[1], as: UTF8.self) : "")
    }

    private static func name(of arguments: [[UInt8]]) -> String { String(decoding: arguments[0], as: UTF8.self) }

    /// What has to be sent before a request; notes what the request does to the connection.
    private func preamble(to name: String) -> [[[UInt8]]] {
        // It holds for one command, or for a whole transaction.
        let asks = isAsking && name != "SELECT" && !isInTransaction.withLock { $0 }
        if name == "MULTI" || name == "EXEC" { isInTransaction.withLock { $0 = name == "MULTI" } }
        // In a transaction it takes effect when that does, if at all.
        if name == "SELECT" { selected.number = nil }
        return asks ? [[Array("ASKING".utf8)]] : []
    }

    /// A SELECT of the database that the connection is in is not sent.
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
