import Link
import Wire

/// Requests of df2redis' own to one server, on one connection that is opened when it is needed.
///
/// What belongs together, a request with the choice of its database or a transaction, has the connection to itself meanwhile.
actor TargetRequests {
    /// What a connection does to one of its role that the server may still hold.
    enum Replacement: Sendable {
        case never
        /// Ends one that this process has opened, of unknown fate.
        case own
        /// Ends any.
        case any
    }

    /// Connects; the argument asks for the end of another connection of the role first.
    typealias Connect = @Sendable (Bool) async throws(TargetError) -> RequestConnection

    /// A connection that has been idle for so long may have been closed by a server with a `timeout`.
    private static let idleLimit = Duration.milliseconds(500)

    private let connect: Connect
    private let timeout: Duration
    private let replacement: Replacement
    private var connection: RequestConnection?
    private var hasConnected = false
    private var isTaken = false
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
        if isTaken { await withCheckedContinuation { waiting.append($0) } } else { isTaken = true }
        // It is handed to the next one, and never free in between.
        defer { if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() } }
        return try await body()
    }

    /// The connection, opened if there is none that can be used.
    func open() async throws(TargetError) -> RequestConnection {
        if let connection, try await isUsable(connection) { return connection }
        let connection = try await connect(replacement == .any || (replacement == .own && hasConnected))
        hasConnected = true
        self.connection = connection
        return connection
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
        try await alone { () throws(TargetError) in
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

    private func demand(
        _ arguments: [[UInt8]], in database: UInt32?, _ isAsking: Bool, on connection: RequestConnection,
        _ timeout: Duration?
    ) async throws(TargetError) -> RESPValue {
        let sequence = RequestSequence(connection, timeout: timeout ?? self.timeout, isAsking: isAsking)
        // On one connection: another one would be in another database.
        if let database { _ = try await sequence.demand("SELECT", String(database)) }
        return try await sequence.demand(arguments)
    }

    /// Sends requests that do not depend on each other, all at once, to a database.
    ///
    /// - Returns: a reply, or an error reply, to each.
    /// - Throws: `TargetError` when the connection breaks.
    func pipeline(_ requests: [[[UInt8]]], in database: UInt32) async throws(TargetError) -> [RESPValue] {
        try await alone { () throws(TargetError) in
            let connection = try await open()
            _ = try await RequestSequence(connection, timeout: timeout).demand("SELECT", String(database))
            do {
                return try await withThrowingTaskGroup(of: (Int, RESPValue).self) { [timeout] group in
                    for (index, request) in requests.enumerated() {
                        group.addTask { (index, try await connection.request(request, timeout: timeout)) }
                    }
                    var replies = [RESPValue](repeating: .bulk(nil), count: requests.count)
                    for try await (index, reply) in group { replies[index] = reply }
                    return replies
                }
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
            let sequence = RequestSequence(try await open(), timeout: timeout, isAsking: isAsking)
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

/// Requests on one connection, one after the other.
struct RequestSequence: Sendable {
    let connection: RequestConnection
    private let timeout: Duration
    private let isAsking: Bool
    private let isInTransaction = Lock(false)

    /// - Parameter isAsking: the slot of the keys is on its way to the server.
    init(_ connection: RequestConnection, timeout: Duration, isAsking: Bool = false) {
        (self.connection, self.timeout, self.isAsking) = (connection, timeout, isAsking)
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
        let name = String(decoding: arguments[0], as: UTF8.self)
        // It holds for one command, or for a whole transaction.
        if isAsking, name != "SELECT", !isInTransaction.withLock({ $0 }) { try await send([Array("ASKING".utf8)]) }
        if name == "MULTI" || name == "EXEC" { isInTransaction.withLock { $0 = name == "MULTI" } }
        return try await send(arguments)
    }

    /// Sends requests that depend on each other, all at once.
    ///
    /// - Throws: `TargetError`, for the first error reply too; the others have been sent.
    func demandAll(_ requests: [[[UInt8]]]) async throws(TargetError) -> [RESPValue] {
        let asking = [[Array("ASKING".utf8)]]
        let all = isAsking ? requests.flatMap { asking + [$0] } : requests
        let replies: [RESPValue]
        do {
            replies = try await connection.requests(all, timeout: timeout)
        } catch {
            throw TargetError(error)
        }
        for (reply, request) in zip(replies, all) {
            guard case .error(let text) = reply else { continue }
            throw TargetError.reply(text, to: String(decoding: request[0], as: UTF8.self))
        }
        return isAsking ? replies.enumerated().filter { $0.offset % 2 == 1 }.map(\.element) : replies
    }

    @discardableResult
    private func send(_ arguments: [[UInt8]]) async throws(TargetError) -> RESPValue {
        let reply: RESPValue
        do {
            reply = try await connection.request(arguments, timeout: timeout)
        } catch {
            throw TargetError(error)
        }
        if case .error(let text) = reply {
            throw TargetError.reply(text, to: String(decoding: arguments[0], as: UTF8.self))
        }
        return reply
    }
}
