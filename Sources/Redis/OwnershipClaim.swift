import Wire

/// Makes a process the owner of a task.
///
/// With a single server this takes two round trips, between which the caller decides:
///
/// | trip | what is asked |
/// |---|---|
/// | 1 `greet` | the greeting; what the server is, its parameters and figures; `WATCH`, `GET`, `PTTL` of the record |
/// | 2 `acquire` | `MULTI`, this task's entry among the tasks, the record, `EXEC`; who else is connected for the task; the checkpoint, the tasks, the databases |
///
/// Everything goes over one connection, which nobody else uses in between.
package struct OwnershipClaim: Sendable {
    package let record: OwnershipRecord
    private let registry: TaskRegistry
    /// The key of the task's checkpoint.
    private let checkpoint: String
    private let markKey: String
    private let control: TargetControl
    private var servers: TargetServers { control.servers }

    /// - Parameters:
    ///   - checkpoint: the key of the task's checkpoint.
    ///   - task: its name.
    package init(
        _ record: OwnershipRecord, checkpoint: String, task: String, registry: TaskRegistry,
        on control: TargetControl
    ) {
        (self.record, self.checkpoint, self.registry, self.control) = (record, checkpoint, registry, control)
        markKey = DatabaseMark.key(task: task)
    }

    // MARK: 1

    /// Connects if necessary, and finds out what the target is and which process owns the task.
    package func greet() async throws(TargetError) -> TargetGreeting {
        let start = ContinuousClock.now
        let questions = ProfileQuestions.all + RecordHolder.questions(record.key)
        guard let answers = try await servers.ask(questions.map { .init($0) }) else { return try await greetNodes() }
        let roundTrip = start.duration(to: .now)
        let findings = try ProfileQuestions(control.connector.settings).findings(in: answers[...])
        let watcher = await servers.connectionNumber
        let holder = Result { () throws(TargetError) in try RecordHolder(answers.suffix(3), watcher: watcher) }
        let known = findings.databaseCount
        let databaseCount: UInt32
        if let known { databaseCount = known } else { databaseCount = try await control.databaseCount() }
        return TargetGreeting(
            profile: findings.profile, databaseCount: databaseCount, figures: findings.figures,
            isInImportMode: findings.isInImportMode, roundTrip: roundTrip, holder: holder)
    }

    /// Greets a cluster node by node.
    private func greetNodes() async throws(TargetError) -> TargetGreeting {
        let profile = try await control.profile()
        let start = ContinuousClock.now
        let figures = try await control.figures()
        let roundTrip = start.duration(to: .now)
        return TargetGreeting(
            profile: profile, databaseCount: try await control.databaseCount(), figures: figures, roundTrip: roundTrip,
            holder: .success(try await holder()))
    }

    /// Reads again what the record's key holds. The key is watched from here on.
    package func holder() async throws(TargetError) -> RecordHolder {
        let key = record.key
        return try await servers.at(key.bytes) { [servers] (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("SELECT", "0")
                // What was watched before may have changed, which would fail the next transaction.
                let replies = try await sequence.executeAll([["UNWATCH"]] + RecordHolder.questions(key))
                // Of a cluster the connection to another node may be the next one's: `acquire` looks for itself.
                if servers.cluster != nil { try await sequence.execute("UNWATCH") }
                return try RecordHolder(replies.dropFirst(), watcher: sequence.number)
            }
        }
    }

    // MARK: 2

    /// Makes this process the owner of the task if the record's key still holds `holder`. Then ends all other connections of
    /// the task (`TargetConnector.evictPredecessors`) and reads what the target holds.
    ///
    /// - Returns: `nil` if the key holds something else by now, or if it has not been watched since `holder` was read.
    package func acquire(from holder: RecordHolder) async throws(TargetError) -> TaskFindings? {
        guard servers.cluster == nil else {
            try await control.renew(registry)
            let isTaken = try await control.exchange(record.key, with: record) { $0 == holder.text }.isReplaced
            guard isTaken else { return nil }
            _ = try await control.evictPredecessors()
            return TaskFindings(
                checkpoint: try await control.hash(checkpoint), others: try await control.others(in: registry),
                databases: try await control.databasesWithKeys())
        }
        // The entry among the tasks first: a task is in it before it has any key in the target.
        let change = [registry.command, record.command]
        let questions = [
            ["HGETALL", checkpoint], ["HGETALL", TaskRegistry.key], ["INFO", "keyspace"], ["EXISTS", markKey],
        ]
        return try await servers.at([]) { [registry] (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                // The connection that watches the key may have been lost.
                guard sequence.number == holder.watcher else { return nil }
                let listing = TargetConnector.listing
                // Counting the databases may have selected another one.
                try await sequence.execute("SELECT", "0")
                // A null means that the record was changed, or has expired, since WATCH.
                guard let replies = try await sequence.transaction(change, asking: listing + questions) else {
                    return nil
                }
                var answers = Array(replies.dropFirst(listing.count))
                if let doomed = try server.connector.predecessors(in: replies.prefix(listing.count)), !doomed.isEmpty {
                    do { _ = try await server.connector.end(doomed, on: sequence.connection) } catch {
                        throw TargetError(error)
                    }
                    // Commands of the ended connections may have changed the answers.
                    answers = try await sequence.askAll(questions)
                }
                try RequestSequence.requireSuccess(answers[...], of: questions)
                return TaskFindings(
                    checkpoint: TaskFindings.fields(answers[0]), others: registry.others(in: answers[1]),
                    databases: ServerInfo(answers[2].text).keyCounts.keys.sorted(),
                    hasMarkInFirst: answers[3].int == 1)
            }
        }
    }
}
