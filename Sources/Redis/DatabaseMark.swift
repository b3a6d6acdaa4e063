import Wire

/// A key of df2redis' own in each database that a task fills, written before the task's keys there.
///
/// Whoever empties the database removes the mark with the task's keys. After a SWAPDB the database has the mark of the other
/// database or none.
///
/// ```
/// df2redis:database:<task>  ->  3     the number of the database that it was written to
/// ```
/// Marks exist only in a single server, because no transaction of a cluster spans two slots. Database 0 needs no mark if it
/// holds the checkpoint's hash, which has a field for each marked database.
package enum DatabaseMark {
    package static func key(task: String) -> String { "df2redis:database:\(task)" }

    /// The commands that write the marks of databases. They begin and end in database 0.
    static func commands(task: String, in databases: Set<UInt32>) -> [[String]] {
        if databases.isEmpty { return [] }
        let key = key(task: task)
        return databases.sorted().flatMap { [["SELECT", "\($0)"], ["SET", key, "\($0)"]] } + [["SELECT", "0"]]
    }

    /// The databases among `databases` that no longer have the mark which was written there.
    package static func lacking(_ databases: Set<UInt32>, in found: [UInt32: String]) -> Set<UInt32> {
        databases.filter { found[$0] != "\($0)" }
    }
}

extension Flush {
    /// The databases whose marks the flush removes, unless it removes keys one by one.
    var removedMarks: Set<UInt32> {
        switch command {
        case .flushAll: marked
        case .flushDatabase(let database): marked.intersection([database])
        case .flushSlots: []
        }
    }
}

/// A hash and the marks of a server at one moment.
package struct FoundMarks: Equatable, Sendable {
    /// The fields of a hash in database 0.
    package var fields: [String: String] = [:]
    /// The text of each database's mark.
    package var marks: [UInt32: String] = [:]

    package init() {}
}

extension TargetControl {
    /// Reads the marks of some databases and a hash of database 0 at one moment, so that the marks match the hash that lists
    /// them.
    package func marks(
        of task: String, in databases: Set<UInt32>, with hash: String
    ) async throws(TargetError) -> FoundMarks {
        let (order, key) = (databases.sorted(), DatabaseMark.key(task: task))
        let commands =
            [["HGETALL", hash]] + order.flatMap { [["SELECT", "\($0)"], ["GET", key]] } + [["SELECT", "0"]]
        let outcomes = try await servers.at([]) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("SELECT", "0")
                let request = [["MULTI"]] + commands + [["EXEC"]]
                let replies = try await sequence.askAll(request)
                try RequestSequence.requireSuccess(replies[...], of: request)
                guard let outcomes = replies.last?.array, outcomes.count == commands.count else {
                    throw TargetError(.protocolViolation, "the target's answer to EXEC is not one of each command")
                }
                // If a database could not be selected, its mark was read in another one.
                try RequestSequence.requireSuccess(outcomes[...], of: commands)
                return outcomes
            }
        }
        var found = FoundMarks()
        found.fields = TaskFindings.fields(outcomes[0])
        for (index, database) in order.enumerated() { found.marks[database] = outcomes[2 * index + 2].text }
        return found
    }

    /// Registers databases like `register(_:in:with:at:)` and writes marks to the databases in `marked`.
    ///
    /// - Parameter requests: requests about a key of database 0, which run in the same transaction.
    package func register(
        _ databases: Set<UInt32>, in registry: TaskRegistry, marking marked: Set<UInt32>, of task: String,
        with requests: [[String]], at key: String
    ) async throws(TargetError) {
        try await register(
            databases, in: registry, with: requests + DatabaseMark.commands(task: task, in: marked), at: key)
    }
}
