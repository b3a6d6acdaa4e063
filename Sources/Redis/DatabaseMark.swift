import Wire

/// A key of df2redis' own in each database that a task fills, older than the task's keys there: whoever empties the database
/// removes it with them, and an exchange for another database brings the mark of that one, or none.
///
/// ```
/// df2redis:database:<task>  ->  3     the number of the database that it was written to
/// ```
/// In a server by itself only: no transaction of a cluster reaches over two slots. Database 0 needs none where the checkpoint's
/// hash is there, which has a field for each marked database.
package enum DatabaseMark {
    package static func key(task: String) -> String { "df2redis:database:\(task)" }

    /// Gives databases their marks, from database 0, and goes back there.
    static func commands(task: String, in databases: Set<UInt32>) -> [[String]] {
        if databases.isEmpty { return [] }
        let key = key(task: task)
        return databases.sorted().flatMap { [["SELECT", "\($0)"], ["SET", key, "\($0)"]] } + [["SELECT", "0"]]
    }

    /// Those of `databases` that no longer have the mark which was written there.
    package static func lacking(_ databases: Set<UInt32>, in found: [UInt32: String]) -> Set<UInt32> {
        databases.filter { found[$0] != "\($0)" }
    }
}

extension Flush {
    /// Databases whose marks it removes, where nobody goes from key to key.
    var removedMarks: Set<UInt32> {
        switch command {
        case .flushAll: marked
        case .flushDatabase(let database): marked.intersection([database])
        case .flushSlots: []
        }
    }
}

/// What a server has at one moment.
package struct FoundMarks: Equatable, Sendable {
    /// A hash of database 0.
    package var fields: [String: String] = [:]
    /// The text of each database's mark.
    package var marks: [UInt32: String] = [:]

    package init() {}
}

extension TargetControl {
    /// The marks of some databases and a hash of database 0, all at one moment: what says that there are marks, and the marks.
    package func marks(
        of task: String, in databases: Set<UInt32>, with hash: String
    ) async throws(TargetError) -> FoundMarks {
        let (order, key) = (databases.sorted(), DatabaseMark.key(task: task))
        let commands =
            [["HGETALL", hash]] + order.flatMap { [["SELECT", "\($0)"], ["GET", key]] } + [["SELECT", "0"]]
        let outcomes = try await servers.at([]) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.demand("SELECT", "0")
                let request = [["MULTI"]] + commands + [["EXEC"]]
                let replies = try await sequence.askAll(request)
                try RequestSequence.demandSuccess(replies[...], of: request)
                guard let outcomes = replies.last?.array, outcomes.count == commands.count else {
                    throw TargetError(.protocolViolation, "the target's answer to EXEC is not one of each command")
                }
                // A database that could not be chosen: its mark was asked for in another one.
                try RequestSequence.demandSuccess(outcomes[...], of: commands)
                return outcomes
            }
        }
        var found = FoundMarks()
        found.fields = TaskFindings.fields(outcomes[0])
        for (index, database) in order.enumerated() { found.marks[database] = outcomes[2 * index + 2].text }
        return found
    }

    /// The same as `register`, and gives databases their marks.
    ///
    /// - Parameter requests: about a key of database 0, in the same transaction.
    package func register(
        _ databases: Set<UInt32>, in registry: TaskRegistry, marking marked: Set<UInt32>, of task: String,
        with requests: [[String]], at key: String
    ) async throws(TargetError) {
        try await register(
            databases, in: registry, with: requests + DatabaseMark.commands(task: task, in: marked), at: key)
    }
}
