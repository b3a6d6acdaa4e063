import Link
import Wire

/// The task's own requests to the target, apart from the flows' data: checks, checkpoints, global commands.
///
/// In a cluster, a request about a key goes to the node that has the key, and a request about everything goes to every
/// master. Callers need not distinguish the two kinds of target.
package actor TargetControl {
    let connector: TargetConnector
    let servers: TargetServers

    /// - Parameters:
    ///   - role: the role of its connections, which is part of their names after the task's.
    ///   - replacesOwn: whether a new connection ends the previous one, whose fate is unknown.
    ///   - replacesAny: whether even the first connection ends another one of its role that the target may still hold.
    package init(
        connector: TargetConnector, role: String = "control", replacesOwn: Bool = true, replacesAny: Bool = false
    ) {
        self.connector = connector
        servers = TargetServers(
            connector, role: role, replacement: replacesAny ? .any : replacesOwn ? .own : .never)
    }

    package nonisolated var isInCluster: Bool { connector.cluster != nil }

    // MARK: Requests

    /// Sends a request about a key, in `database` if one is named.
    ///
    /// - Throws: `TargetError`, also for an error reply.
    func execute(
        _ words: [String], at key: String, in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        try await execute(words.map(\.bytes), at: key.bytes, in: database, timeout: timeout)
    }

    func execute(
        _ arguments: [[UInt8]], at key: [UInt8], in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        try await servers.at(key) { (server) throws(TargetError) in
            try await server.execute(arguments, in: database, timeout: timeout)
        }
    }

    // MARK: What the target is

    /// Connects if necessary, and finds out what the target is. For a cluster the result covers all masters.
    package func profile() async throws(TargetError) -> TargetProfile {
        try await requireHealth()
        var profiles: [TargetProfile] = []
        for server in try await servers.all() {
            profiles.append(try await server.connector.profile(on: server.requests.open()))
        }
        return try TargetProfile(sharedBy: profiles, isCluster: servers.cluster != nil)
    }

    /// Ends connections that earlier processes and sessions of this task have left: see `TargetConnector`.
    ///
    /// - Returns: `false` if the target does not allow it.
    package func evictPredecessors() async throws(TargetError) -> Bool {
        var areEvicted = true
        for server in try await servers.all() {
            let isDone = try await server.connector.evictPredecessors(on: server.requests.open())
            areEvicted = areEvicted && isDone
        }
        return areEvicted
    }

    /// Whether other connections have the task's name; `nil` if the target does not say.
    package func hasOtherConnections() async throws(TargetError) -> Bool? {
        var answers: [Bool?] = []
        for server in try await servers.all() {
            answers.append(try await server.connector.others(on: server.requests.open()))
        }
        return answers.contains(true) ? true : answers.contains(nil) ? nil : false
    }

    /// The number of databases to which keys can be written; for a cluster, the number that every master has.
    package func databaseCount() async throws(TargetError) -> UInt32 {
        var counts: [UInt32] = []
        for server in try await servers.all() {
            counts.append(
                try await server.sequence { [isInCluster] (sequence) throws(TargetError) in
                    try await DatabaseCount.ask(sequence, isInCluster: isInCluster)
                })
        }
        return counts.min() ?? 1
    }

    /// The value of a server parameter; `nil` if there is none of this name or if the nodes of a cluster differ.
    package func parameter(_ name: String) async throws(TargetError) -> String? {
        let values = Set(
            try await servers.executeEverywhere("CONFIG", "GET", name).map { reply -> String? in
                let pair = reply.array ?? []
                return pair.count == 2 ? pair[1].text : nil
            })
        return values.count == 1 ? values.first ?? nil : nil
    }

    package func setParameter(_ name: String, to value: String) async throws(TargetError) {
        _ = try await servers.executeEverywhere("CONFIG", "SET", name, value)
        await servers.tellReplicas("CONFIG", "SET", name, value)
    }

    /// Sets a parameter after noting it in a field of a hash in database 0.
    package func setParameter(
        _ name: String, to value: String, noting field: (name: String, value: String), in key: String
    ) async throws(TargetError) {
        let note = ["HSET", key, field.name, field.value]
        guard servers.cluster == nil else {
            _ = try await execute(note, at: key, in: 0)
            return try await setParameter(name, to: value)
        }
        try await executeAll([note, ["CONFIG", "SET", name, value]], at: key)
        await servers.tellReplicas("CONFIG", "SET", name, value)
    }

    // MARK: Keys of our own

    package func hash(_ key: String) async throws(TargetError) -> [String: String] {
        TaskFindings.fields(try await execute(["HGETALL", key], at: key, in: 0))
    }

    /// Sets some fields of a hash in database 0 and removes others.
    package func update(
        _ key: String, set fields: [String: String], remove: [String]
    ) async throws(TargetError) {
        var requests: [[String]] = []
        if !fields.isEmpty { requests.append(["HSET", key] + fields.flatMap { [$0.key, $0.value] }) }
        if !remove.isEmpty { requests.append(["HDEL", key] + remove) }
        try await executeAll(requests, at: key)
    }

    /// Makes requests about a key of database 0 in this order. A single server gets them all at once in a transaction.
    ///
    /// - Throws: `TargetError`, also for an error reply. In a cluster, no request after the refused one has been sent. In a
    ///   transaction nothing has been done, unless the request was refused only when it ran.
    func executeAll(_ requests: [[String]], at key: String) async throws(TargetError) {
        guard servers.cluster == nil, requests.count > 1 else {
            for request in requests { _ = try await execute(request, at: key, in: 0) }
            return
        }
        try await servers.at([]) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("SELECT", "0")
                _ = try await sequence.transaction(requests)
            }
        }
    }

    /// The number of `keys` that exist in database 0.
    package func exist(_ keys: [String]) async throws(TargetError) -> Int {
        guard servers.cluster != nil else {
            return Int(try await execute(["EXISTS"] + keys, at: "", in: 0).int ?? 0)
        }
        var count = 0
        for key in keys { count += Int(try await execute(["EXISTS", key], at: key, in: 0).int ?? 0) }
        return count
    }

    /// Whether `database` has the key.
    package func exists(_ key: [UInt8], in database: UInt32) async throws(TargetError) -> Bool {
        try await execute(["EXISTS".bytes, key], at: key, in: database).int != 0
    }

    package func setIfMissing(_ key: String, field: String, _ value: String) async throws(TargetError) {
        _ = try await execute(["HSETNX", key, field, value], at: key, in: 0)
    }

    // MARK: All keys

    /// Returns one page of the keys of a database. The walk is over when the returned cursor is "0".
    package func scan(database: UInt32, cursor: String) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        guard servers.cluster == nil else {
            return try await ClusterWalk(servers: servers, database: database).page(after: cursor)
        }
        return try Self.page(try await execute(Self.scanWords(cursor), at: "", in: database))
    }

    static func scanWords(_ cursor: String) -> [String] { ["SCAN", cursor, "COUNT", "1000"] }

    static func page(_ reply: RESPValue) throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        guard let page = reply.array, page.count == 2, let next = page[0].text, let keys = page[1].array else {
            throw TargetError(.protocolViolation, "the target's answer to SCAN is not a page of keys")
        }
        return (next, keys.compactMap(\.bytes))
    }

    package func unlink(_ keys: [[UInt8]], database: UInt32) async throws(TargetError) {
        guard !keys.isEmpty else { return }
        try await servers.each(keys, in: database) { places in ["UNLINK".bytes] + places.map { keys[$0] } }
    }

    // MARK: Connections

    /// Reconnects. Whatever the previous connections have sent has taken effect by then, or never will: see
    /// `TargetConnector`.
    package func renew() async throws(TargetError) { try await servers.renew() }

    package func close() async { await servers.close() }
}
