import Wire

/// The contents of a target's databases just before a session began to write to them.
package struct DatabaseSurvey: Sendable {
    private var counts: [UInt32: KeyCount] = [:]
    /// The databases that held keys when the survey was made. Others may have written to one after `databases` were listed.
    private let held: Set<UInt32>
    package let made: ContinuousClock.Instant
    /// The databases with TTLs of elements that an earlier session has left.
    package private(set) var withElementLists: [UInt32] = []

    /// Examines databases in one round trip, together with the greeting of the connection.
    ///
    /// - Parameters:
    ///   - databases: the databases that held keys a moment ago.
    ///   - reserved: the task's own keys.
    /// - Returns: `nil` for a cluster.
    /// - Throws: `TargetError`.
    package init?(
        of databases: [UInt32], task: String, excluding reserved: ReservedKeys, on control: TargetControl
    ) async throws(TargetError) {
        let exists = ["EXISTS".bytes] + ElementExpiry.dueKeys(ofTask: task)
        let questions = databases.flatMap { database in
            KeyCount.questions.map { TargetRequests.Question($0, in: database) } + [.init(exists, in: database)]
        }
        made = .now
        guard let answers = try await control.servers.ask(questions + [.init(["INFO", "keyspace"])]),
            let keyspace = answers.last
        else { return nil }
        if case .error(let text) = keyspace { throw TargetError.reply(text, to: "INFO") }
        held = Set(ServerInfo(keyspace.text).keyCounts.keys)
        let width = KeyCount.questions.count + 1
        for (index, database) in databases.enumerated() {
            let own = Array(answers[(index * width)..<((index + 1) * width)])
            counts[database] = try KeyCount(own[..<(width - 1)], excluding: reserved)
            if case .error(let text) = own[width - 1] { throw TargetError.reply(text, to: "EXISTS") }
            if own[width - 1].int ?? 0 > 0 { withElementLists.append(database) }
        }
    }

    /// The number of keys in a database that are not the task's own; `nil` if it is not known.
    package func keyCount(_ database: UInt32) -> Int? {
        if let count = counts[database] { return count.number }
        return held.contains(database) ? nil : 0
    }
}
