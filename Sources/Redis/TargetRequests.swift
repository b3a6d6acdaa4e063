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
            admitNext()
        }
        return try await body()
    }

    /// Gives the connection to the next caller that wants it alone, if nobody uses it.
    private func admitNext() {
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
                    // As in `execute`, an idle connection may be closed while a request is on its way.
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
    func execute(
        _ arguments: [[UInt8]], in database: UInt32? = nil, isAsking: Bool = false, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        if !isAsking, let reply = try await shared(arguments, in: database, timeout) { return reply }
        return try await alone { () throws(TargetError) in
            let connection = try await open()
            do throws(TargetError) {
                return try await execute(arguments, in: database, isAsking, on: connection, timeout)
            } catch {
                // An idle connection may be closed while a request is on its way. Each of our requests may be made twice,
                // and a new connection first ends the previous one.
                guard await connection.wasClosedInSilence else { throw error }
                return try await execute(arguments, in: database, isAsking, on: open(), timeout)
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
            admitNext()
        }
        guard await !connection.isBroken, await connection.idleTime < Self.idleLimit else { return nil }
        do throws(TargetError) {
            return try await execute(arguments, in: nil, false, on: connection, timeout)
        } catch {
            if await connection.wasClosedInSilence { return nil }
            throw error
        }
    }

    private func execute(
        _ arguments: [[UInt8]], in database: UInt32?, _ isAsking: Bool, on connection: RequestConnection,
        _ timeout: Duration?
    ) async throws(TargetError) -> RESPValue {
        let sequence = RequestSequence(
            connection, selected, timeout: timeout ?? self.timeout, isAsking: isAsking)
        // Both requests use one connection, because another one may be in another database.
        if let database { _ = try await sequence.execute("SELECT", String(database)) }
        return try await sequence.execute(arguments)
    }

    /// Sends independent requests to a database, all at once. The server executes them in this order.
    ///
    /// - Returns: the reply, or an error reply, to each request.
    /// - Throws: `TargetError` if the connection breaks.
    func pipeline(_ requests: [[[UInt8]]], in database: UInt32) async throws(TargetError) -> [RESPValue] {
        try await alone { () throws(TargetError) in
            let connection = try await open()
            // The SELECT goes separately: if it fails, nothing else may run.
            try await RequestSequence(connection, selected, timeout: timeout).execute("SELECT", String(database))
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
