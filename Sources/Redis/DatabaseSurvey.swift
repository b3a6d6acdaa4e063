import Wire

/// What a target's databases held just before a session began to write to them.
package struct DatabaseSurvey: Sendable {
    private var counts: [UInt32: KeyCount] = [:]
    /// Databases with elements' TTLs that an earlier session has left.
    package private(set) var withElementLists: [UInt32] = []

    /// Looks through databases in one round trip, with the greeting of the connection.
    ///
    /// - Parameters:
    ///   - databases: all that hold keys.
    ///   - reserved: the task's own keys.
    /// - Returns: `nil` for a cluster.
    /// - Throws: `TargetError`.
    package init?(
        of databases: [UInt32], task: String, besides reserved: ReservedKeys, on control: TargetControl
    ) async throws(TargetError) {
        let exists = [Array("EXISTS".utf8)] + ElementExpiry.dueKeys(ofTask: task)
        let questions = databases.flatMap { database in
            KeyCount.questions.map { TargetRequests.Question($0, in: database) } + [.init(exists, in: database)]
        }
        guard let answers = try await control.servers.ask(questions) else { return nil }
        let width = KeyCount.questions.count + 1
        for (index, database) in databases.enumerated() {
            let own = Array(answers[(index * width)..<((index + 1) * width)])
            counts[database] = try KeyCount(own[..<(width - 1)], besides: reserved)
            if case .error(let text) = own[width - 1] { throw TargetError.reply(text, to: "EXISTS") }
            if own[width - 1].int ?? 0 > 0 { withElementLists.append(database) }
        }
    }

    /// How many keys of others a database held; `nil`: not known.
    package func keyCount(_ database: UInt32) -> Int? {
        guard let count = counts[database] else { return 0 }
        return count.number
    }
}
