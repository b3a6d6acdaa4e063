import Link
import Wire

/// The task's own requests to the target, apart from the flows' data: probes, checkpoints, global commands.
package actor TargetControl {
    let connector: TargetConnector
    private let role: String
    private let replacesOwn: Bool
    private var connection: RequestConnection?
    private var hasConnected = false
    /// A connection that has been idle for so long may have been closed by a target with a `timeout`.
    private static let idleLimit = Duration.milliseconds(500)

    /// - Parameters:
    ///   - role: what its connection is called, besides the task.
    ///   - replacesOwn: a new connection ends the one before, of unknown fate.
    package init(connector: TargetConnector, role: String = "control", replacesOwn: Bool = true) {
        self.connector = connector
        self.role = role
        self.replacesOwn = replacesOwn
    }

    /// Connects, if it is not connected, and learns what the target is.
    package func profile() async throws(TargetError) -> TargetProfile {
        try await connector.profile(on: open())
    }

    func open() async throws(TargetError) -> RequestConnection {
        if let connection, try await isUsable(connection) { return connection }
        let connection = try await connector.connect(role: role, replacing: hasConnected && replacesOwn)
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
            _ = try await connection.request("PING", timeout: connector.settings.timeout)
            return true
        } catch RequestFailure.closedByPeer, RequestFailure.system {
            return false
        } catch {
            throw TargetError(error)
        }
    }

    /// Sends a request, to a database if one is named.
    ///
    /// - Throws: `TargetError`, for an error reply too.
    func demand(
        _ arguments: [String], in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        try await demand(arguments.map { Array($0.utf8) }, in: database, timeout: timeout)
    }

    func demand(
        _ arguments: [[UInt8]], in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        let connection = try await open()
        do throws(TargetError) {
            return try await demand(arguments, in: database, on: connection, timeout: timeout)
        } catch {
            // An idle connection may be closed with a request on its way. Each of our requests may be made twice, and a
            // new connection ends the one before first.
            guard await connection.wasClosedInSilence else { throw error }
            return try await demand(arguments, in: database, on: open(), timeout: timeout)
        }
    }

    private func demand(
        _ arguments: [[UInt8]], in database: UInt32?, on connection: RequestConnection, timeout: Duration?
    ) async throws(TargetError) -> RESPValue {
        // On one connection: another one would be in another database.
        if let database { _ = try await demand(["SELECT", String(database)].map { Array($0.utf8) }, on: connection) }
        return try await demand(arguments, on: connection, timeout: timeout)
    }

    /// One of several requests that must be made on one connection.
    func demand(_ words: [String], on connection: RequestConnection) async throws(TargetError) -> RESPValue {
        try await demand(words.map { Array($0.utf8) }, on: connection)
    }

    private func demand(
        _ arguments: [[UInt8]], on connection: RequestConnection, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        let reply: RESPValue
        do {
            reply = try await connection.request(arguments, timeout: timeout ?? connector.settings.timeout)
        } catch {
            throw TargetError(error)
        }
        if case .error(let text) = reply {
            throw TargetError.reply(text, to: String(decoding: arguments[0], as: UTF8.self))
        }
        return reply
    }

    /// Ends what earlier processes and sessions of this task have left connected: see `TargetConnector`.
    ///
    /// - Returns: `false` when the target does not allow it.
    package func evictPredecessors() async throws(TargetError) -> Bool {
        try await connector.evictPredecessors(on: open())
    }

    /// The number of databases that SELECT takes.
    package func databaseCount() async throws(TargetError) -> UInt32 {
        let connection = try await open()
        do {
            if let pair = try await connection.request("CONFIG", "GET", "databases").array, pair.count == 2,
                let count = pair[1].int, count > 0
            {
                return UInt32(clamping: count)
            }
            // CONFIG may be forbidden: SELECT tells as well.
            var known: UInt32 = 1
            while known < 1 << 20, try await connection.request("SELECT", String(known * 2 - 1)).isOK { known *= 2 }
            while try await connection.request("SELECT", String(known)).isOK { known += 1 }
            _ = try await connection.request("SELECT", "0")
            return known
        } catch {
            throw TargetError(error)
        }
    }

    /// The server holds no key in any database but df2redis' own.
    package func isEmpty(besides reserved: ReservedKeys) async throws(TargetError) -> Bool {
        for database in try await databasesWithKeys() {
            if try await keyCount(database: database, besides: reserved) > 0 { return false }
        }
        return true
    }

    package func hash(_ key: String) async throws(TargetError) -> [String: String] {
        guard let pairs = try await demand(["HGETALL", key], in: 0).array else { return [:] }
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: pairs.count - 1, by: 2) {
            if let field = pairs[index].text, let value = pairs[index + 1].text { fields[field] = value }
        }
        return fields
    }

    /// Sets some fields of a hash in database 0 and removes others.
    package func update(
        _ key: String, set fields: [String: String], remove: [String]
    ) async throws(TargetError) {
        if !fields.isEmpty { _ = try await demand(["HSET", key] + fields.flatMap { [$0.key, $0.value] }, in: 0) }
        if !remove.isEmpty { _ = try await demand(["HDEL", key] + remove, in: 0) }
    }

    /// How many of `keys` there are in database 0.
    package func exist(_ keys: [String]) async throws(TargetError) -> Int {
        Int(try await demand(["EXISTS"] + keys, in: 0).int ?? 0)
    }

    package func setIfMissing(_ key: String, field: String, _ value: String) async throws(TargetError) {
        _ = try await demand(["HSETNX", key, field, value], in: 0)
    }

    /// One page of the keys of a database. The walk is over when the cursor is "0" again.
    package func scan(database: UInt32, cursor: String) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        guard let page = try await demand(["SCAN", cursor, "COUNT", "1000"], in: database).array, page.count == 2,
            let next = page[0].text, let keys = page[1].array
        else { throw TargetError(.protocolViolation, "the target's answer to SCAN is not a page of keys") }
        return (next, keys.compactMap(\.bytes))
    }

    package func unlink(_ keys: [[UInt8]], database: UInt32) async throws(TargetError) {
        guard !keys.isEmpty else { return }
        _ = try await demand([Array("UNLINK".utf8)] + keys, in: database)
    }

    /// A parameter of the server; `nil` when it has none of this name.
    package func parameter(_ name: String) async throws(TargetError) -> String? {
        let pair = try await demand(["CONFIG", "GET", name]).array ?? []
        return pair.count == 2 ? pair[1].text : nil
    }

    package func setParameter(_ name: String, to value: String) async throws(TargetError) {
        _ = try await demand(["CONFIG", "SET", name, value])
    }

    /// The databases that hold keys.
    package func databasesWithKeys() async throws(TargetError) -> [UInt32] {
        let text = try await demand(["INFO", "keyspace"]).text ?? ""
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            line.hasPrefix("db") ? UInt32(line.dropFirst(2).prefix { $0.isNumber }) : nil
        }
    }

    /// Connects anew. What the connection before has sent has taken effect by then, or never will: see `TargetConnector`.
    package func renew() async throws(TargetError) {
        await close()
        _ = try await open()
    }

    package func close() async {
        await connection?.close()
        connection = nil
    }
}
