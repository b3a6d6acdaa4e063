import Link
import Wire

/// The tasks that fill the target. The registry prevents a task from removing what another has written, and two tasks from
/// applying the same source.
///
/// ```
/// df2redis:tasks   hash in database 0   <the checkpoint's key of a task> -> 0,3,full,follows:...   (`RegistryEntry`)
/// ```
/// A task is listed before it has any key in the target, and each database is listed before the task's first key goes there.
/// So whoever reads keys first, and then the hash, knows of every task that may have written them.
package final class TaskRegistry: Sendable {
    package static let key = "df2redis:tasks"

    /// The checkpoint's key of this task.
    private let own: String

    private struct State {
        /// The databases that this task fills, as far as this process knows.
        var databases: Set<UInt32> = []
        /// Whether `databases` includes those that earlier processes have filled.
        var isComplete = false
        /// Whether the task has completed a full sync.
        var isFull = false
        /// What this process follows; `nil`: it has come to no source yet, and what the entry says is left.
        var source: FollowedSource?
        /// Its entry in the target, as it was read last; `nil`: there was none.
        var named: RegistryEntry?

        /// What the entry is to say.
        var entry: RegistryEntry {
            var entry = RegistryEntry()
            if let named, !isComplete { entry = named }
            entry.databases.formUnion(databases)
            entry.isFull = entry.isFull || isFull
            entry.source = source ?? named?.source ?? .unknown
            return entry
        }
    }

    private let state = Lock(State())

    package init(checkpoint: String) { own = checkpoint }

    fileprivate func add(_ new: Set<UInt32>) { state.withLock { $0.databases.formUnion(new) } }

    /// The databases that the task's entry in the target names, as it was read last, if a full sync had been completed.
    package var filledBefore: Set<UInt32>? {
        state.withLock { state in state.named.flatMap { $0.isFull ? $0.databases : nil } }
    }

    package func markFull() { state.withLock { $0.isFull = true } }

    /// Adds databases that this task is known to fill.
    ///
    /// - Parameter known: all that earlier processes have filled.
    /// - Returns: `true` when the entry in the target does not say the same.
    package func learn(_ known: Set<UInt32>) -> Bool {
        state.withLock { state in
            state.databases.formUnion(known)
            state.isComplete = true
            return state.named != state.entry
        }
    }

    /// Writes the entry. Of a process that may not know yet what earlier ones have filled, and has not read it, theirs stays.
    var command: [String] {
        let (text, mayReplace) = state.withLock { ($0.entry.text, $0.isComplete || $0.named != nil) }
        return [mayReplace || !text.isEmpty ? "HSET" : "HSETNX", Self.key, own, text]
    }

    // MARK: The source

    /// What this process fills the target from, if its entry is to say so.
    package var claim: SourceClaim? {
        state.withLock { if case .claimed(let claim)? = $0.source { claim } else { nil } }
    }

    /// From now on the entry is to have `claim`.
    ///
    /// - Returns: what this process had in the line before.
    package func claim(_ claim: SourceClaim) -> FollowedSource? {
        state.withLock { state in
            defer { state.source = .claimed(claim) }
            return state.source
        }
    }

    /// Another task opposes the claim: the entry is to have again what it has had of this process.
    package func withdraw(to before: FollowedSource?) { state.withLock { $0.source = before ?? .refused } }

    // MARK: The others

    /// - Parameter reply: the reply to HGETALL.
    func others(in reply: RESPValue) -> OtherTasks {
        var others = OtherTasks(databases: [:])
        var named: RegistryEntry?
        for (name, text) in reply.pairs {
            guard let name = name.text, let text = text.text else { continue }
            let entry = RegistryEntry(text)
            if name == own {
                named = entry
            } else {
                (others.databases[name], others.sources[name]) = (entry.databases, entry.source)
            }
        }
        state.withLock { [named] in $0.named = named }
        return others
    }
}

extension TargetControl {
    /// Notes that this task fills `databases`. Call this before it does.
    package func register(_ databases: Set<UInt32>, in registry: TaskRegistry) async throws(TargetError) {
        registry.add(databases)
        try await renew(registry)
    }

    /// Registers databases, and then makes other requests about a key of database 0. They are sent all at once if they go to
    /// the same server.
    package func register(
        _ databases: Set<UInt32>, in registry: TaskRegistry, with requests: [[String]], at key: String
    ) async throws(TargetError) {
        guard servers.cluster == nil else {
            try await register(databases, in: registry)
            return try await executeAll(requests, at: key)
        }
        registry.add(databases)
        try await executeAll([registry.command] + requests, at: key)
    }

    /// Writes the line again, because somebody may have removed it.
    package func renew(_ registry: TaskRegistry) async throws(TargetError) {
        _ = try await execute(registry.command, at: TaskRegistry.key, in: 0)
        // In a cluster a flush takes more than one step, and a task that starts must not write between two of them.
        if servers.cluster != nil { try await ClusterFlush.refuse(others(in: registry), servers) }
    }

    /// Writes the task's entry and reads those of the others in one step: of two processes that do so, one sees the other's.
    package func exchangeEntries(_ registry: TaskRegistry) async throws(TargetError) -> OtherTasks {
        let commands = [registry.command, ["HGETALL", TaskRegistry.key]]
        let reply = try await servers.at(TaskRegistry.key.bytes) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("SELECT", "0")
                return try await sequence.executeAll([["MULTI"]] + commands + [["EXEC"]]).last
            }
        }
        guard let outcomes = reply?.array, outcomes.count == commands.count else {
            throw TargetError(.protocolViolation, "the target's answer to EXEC is not one of each command")
        }
        try RequestSequence.requireSuccess(outcomes[...], of: commands)
        return registry.others(in: outcomes[1])
    }

    package func others(in registry: TaskRegistry) async throws(TargetError) -> OtherTasks {
        registry.others(in: try await execute(["HGETALL", TaskRegistry.key], at: TaskRegistry.key, in: 0))
    }
}
