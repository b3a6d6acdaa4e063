import Link
import Wire

/// The task's own requests to the target, apart from the flows' data: probes, checkpoints, global commands.
///
/// Where the target is a cluster, what is about a key goes to the node that has it, and what is about everything to every
/// master: whoever asks does not notice.
package actor TargetControl {
    let connector: TargetConnector
    let servers: TargetServers

    /// - Parameters:
    ///   - role: what its connections are called, besides the task.
    ///   - replacesOwn: a new connection ends the one before, of unknown fate.
    ///   - replacesAny: even the first one ends another of its role that the target may still hold.
    package init(
        connector: TargetConnector, role: String = "control", replacesOwn: Bool = true, replacesAny: Bool = false
    ) {
        self.connector = connector
        servers = TargetServers(
            connector, role: role, replacement: replacesAny ? .any : replacesOwn ? .own : .never)
    }

    package nonisolated var isInCluster: Bool { connector.cluster != nil }

    // MARK: Requests

    /// Sends a request about a key, to a database if one is named.
    ///
    /// - Throws: `TargetError`, for an error reply too.
    func demand(
        _ words: [String], at key: String, in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        try await demand(words.map { Array($0.utf8) }, at: Array(key.utf8), in: database, timeout: timeout)
    }

    func demand(
        _ arguments: [[UInt8]], at key: [UInt8], in database: UInt32? = nil, timeout: Duration? = nil
    ) async throws(TargetError) -> RESPValue {
        try await servers.at(key) { (server) throws(TargetError) in
            try await server.demand(arguments, in: database, timeout: timeout)
        }
    }

    // MARK: What the target is

    /// Connects, if it is not connected, and learns what the target is: of a cluster, what all its masters are.
    package func profile() async throws(TargetError) -> TargetProfile {
        try await demandHealth()
        var profiles: [TargetProfile] = []
        for server in try await servers.all() {
            profiles.append(try await server.connector.profile(on: server.requests.open()))
        }
        return try TargetProfile(sharedBy: profiles, isCluster: servers.cluster != nil)
    }

    /// Ends what earlier processes and sessions of this task have left connected: see `TargetConnector`.
    ///
    /// - Returns: `false` when the target does not allow it.
    package func evictPredecessors() async throws(TargetError) -> Bool {
        var areEvicted = true
        for server in try await servers.all() {
            let isDone = try await server.connector.evictPredecessors(on: server.requests.open())
            areEvicted = areEvicted && isDone
        }
        return areEvicted
    }

    /// Whether other connections bear the task's name; `nil` when the target does not say.
    package func hasOtherConnections() async throws(TargetError) -> Bool? {
        var answers: [Bool?] = []
        for server in try await servers.all() {
            answers.append(try await server.connector.others(on: server.requests.open()))
        }
        return answers.contains(true) ? true : answers.contains(nil) ? nil : false
    }

    /// The number of databases that keys can be written to; of a cluster, those that each master has.
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

    /// A parameter of the server; `nil` when it has none of this name, and when the nodes of a cluster differ.
    package func parameter(_ name: String) async throws(TargetError) -> String? {
        let values = Set(
            try await servers.demandEverywhere("CONFIG", "GET", name).map { reply -> String? in
                let pair = reply.array ?? []
                return pair.count == 2 ? pair[1].text : nil
            })
        return values.count == 1 ? values.first ?? nil : nil
    }

    package func setParameter(_ name: String, to value: String) async throws(TargetError) {
        _ = try await servers.demandEverywhere("CONFIG", "SET", name, value)
        await servers.tellReplicas("CONFIG", "SET", name, value)
    }

    /// The same, with a field of a hash in database 0 that says so: the field first.
    package func setParameter(
        _ name: String, to value: String, noting field: (name: String, value: String), in key: String
    ) async throws(TargetError) {
        let note = ["HSET", key, field.name, field.value]
        guard servers.cluster == nil else {
            _ = try await demand(note, at: key, in: 0)
            return try await setParameter(name, to: value)
        }
        try await demandAll([note, ["CONFIG", "SET", name, value]], at: key)
        await servers.tellReplicas("CONFIG", "SET", name, value)
    }

    // MARK: Keys of our own

    package func hash(_ key: String) async throws(TargetError) -> [String: String] {
        TaskFindings.fields(try await demand(["HGETALL", key], at: key, in: 0))
    }

    /// Sets some fields of a hash in database 0 and removes others.
    package func update(
        _ key: String, set fields: [String: String], remove: [String]
    ) async throws(TargetError) {
        var requests: [[String]] = []
        if !fields.isEmpty { requests.append(["HSET", key] + fields.flatMap { [$0.key, $0.value] }) }
        if !remove.isEmpty { requests.append(["HDEL", key] + remove) }
        try await demandAll(requests, at: key)
    }

    /// Makes requests about a key of database 0 in this order; those to a server by itself all at once, in a transaction.
    ///
    /// - Throws: `TargetError`, for an error reply too: one by one, nothing after it has been done; in a transaction nothing at
    ///   all has been, unless the request was refused only as it ran.
    func demandAll(_ requests: [[String]], at key: String) async throws(TargetError) {
        guard servers.cluster == nil, requests.count > 1 else {
            for request in requests { _ = try await demand(request, at: key, in: 0) }
            return
        }
        try await servers.at([]) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.demand("SELECT", "0")
                _ = try await sequence.transaction(requests)
            }
        }
    }

    /// How many of `keys` there are in database 0.
    package func exist(_ keys: [String]) async throws(TargetError) -> Int {
        guard servers.cluster != nil else {
            return Int(try await demand(["EXISTS"] + keys, at: "", in: 0).int ?? 0)
        }
        var count = 0
        for key in keys { count += Int(try await demand(["EXISTS", key], at: key, in: 0).int ?? 0) }
        return count
    }

    /// Whether `database` has the key.
    package func exists(_ key: [UInt8], in database: UInt32) async throws(TargetError) -> Bool {
        try await demand([Array("EXISTS".utf8), key], at: key, in: database).int != 0
    }

    package func setIfMissing(_ key: String, field: String, _ value: String) async throws(TargetError) {
        _ = try await demand(["HSETNX", key, field, value], at: key, in: 0)
    }

    // MARK: All keys

    /// One page of the keys of a database. The walk is over when the cursor is "0" again.
    package func scan(database: UInt32, cursor: String) async throws(TargetError) -> (cursor: String, keys: [[UInt8]]) {
        guard servers.cluster == nil else {
            return try await ClusterWalk(servers: servers, database: database).page(after: cursor)
        }
        return try Self.page(try await demand(Self.scanWords(cursor), at: "", in: database))
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
        try await servers.each(keys, in: database) { places in [Array("UNLINK".utf8)] + places.map { keys[$0] } }
    }

    // MARK: Connections

    /// Connects anew. What the connections before have sent has taken effect by then, or never will: see
    /// `TargetConnector`.
    package func renew() async throws(TargetError) { try await servers.renew() }

    package func close() async { await servers.close() }
}
