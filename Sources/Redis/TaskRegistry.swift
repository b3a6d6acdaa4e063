import Link
import Wire

/// The tasks that fill the target, so that none of them removes what another has written.
///
/// ```
/// df2redis:tasks   hash in database 0   <the checkpoint's key of a task> -> 0,3,full   databases that it fills, and that it
///                                       has completed a full sync
/// ```
/// A task is in it before it has any key in the target, and with a database before its first key goes there. So whoever has read keys, and reads the hash then, knows of
/// every task that may have written them.
package final class TaskRegistry: Sendable {
    package static let key = "df2redis:tasks"

    /// The checkpoint's key of this task.
    private let own: String
    private struct State {
        /// Those that this task fills.
        var databases: Set<UInt32> = []
        /// Those that its line in the target names, as it was read last; `nil`: there was none.
        var named: Set<UInt32>?
        /// The task has completed a full sync.
        var isFull = false
        /// Its line in the target says so.
        var isNamedFull = false
    }

    private static let full = "full"

    private let state = Lock(State())

    package init(checkpoint: String) { own = checkpoint }

    fileprivate func add(_ new: Set<UInt32>) { state.withLock { $0.databases.formUnion(new) } }

    /// The databases that the task's line in the target names, as it was read last, if a full sync had been completed.
    package var filledBefore: Set<UInt32>? { state.withLock { $0.isNamedFull ? $0.named : nil } }

    package func markFull() { state.withLock { $0.isFull = true } }

    /// Adds databases that this task is known to fill.
    ///
    /// - Returns: `true` when the line in the target does not say the same.
    package func learn(_ known: Set<UInt32>) -> Bool {
        state.withLock { state in
            state.databases.formUnion(known)
            return state.named != state.databases || state.isFull != state.isNamedFull
        }
    }

    var command: [String] {
        let (databases, isFull) = state.withLock { ($0.databases, $0.isFull) }
        return ["HSET", Self.key, own, Self.text(databases) + (isFull && !databases.isEmpty ? ",\(Self.full)" : "")]
    }

    /// As `command`, for a process that may not know yet what earlier ones have filled: their line stays.
    var firstCommand: [String] {
        let databases = state.withLock { $0.databases }
        return databases.isEmpty ? ["HSETNX", Self.key, own, ""] : command
    }

    private static func text(_ databases: Set<UInt32>) -> String {
        databases.sorted().map(String.init).joined(separator: ",")
    }

    /// - Parameter reply: that to HGETALL.
    func others(in reply: RESPValue) -> OtherTasks {
        var others = OtherTasks(databases: [:])
        var named: Set<UInt32>?
        var isFull = false
        let words = reply.array ?? []
        for place in stride(from: 0, to: words.count - 1, by: 2) {
            guard let name = words[place].text, let text = words[place + 1].text else { continue }
            let parts = text.split(separator: ",")
            let databases = Set(parts.compactMap { UInt32($0) })
            if name == own {
                (named, isFull) = (databases, parts.contains { $0 == Self.full })
            } else {
                others.databases[name] = databases
            }
        }
        state.withLock { [named, isFull] in
            $0.named = named
            $0.isNamedFull = isFull
        }
        return others
    }
}

/// Other tasks that fill the target, by the keys of their checkpoints.
package struct OtherTasks: Equatable, Sendable, CustomStringConvertible {
    package var databases: [String: Set<UInt32>]

    package var isEmpty: Bool { databases.isEmpty }

    /// Those that fill a database: a task whose first start has failed is only named.
    package var filling: OtherTasks { OtherTasks(databases: databases.filter { !$0.value.isEmpty }) }

    /// Somebody else fills `database`.
    package func fill(_ database: UInt32) -> Bool { databases.values.contains { $0.contains(database) } }

    package var description: String {
        databases.sorted { $0.key < $1.key }.map { key, databases in
            "\(key) (databases \(databases.sorted().map(String.init).joined(separator: ", ")))"
        }.joined(separator: ", ")
    }
}

extension TargetControl {
    /// Notes that this task fills `databases`, before it does.
    package func register(_ databases: Set<UInt32>, in registry: TaskRegistry) async throws(TargetError) {
        registry.add(databases)
        try await renew(registry)
    }

    /// The same, and then makes other requests about a key of database 0: all at once, where they go to the same server.
    package func register(
        _ databases: Set<UInt32>, in registry: TaskRegistry, with requests: [[String]], at key: String
    ) async throws(TargetError) {
        guard servers.cluster == nil else {
            try await register(databases, in: registry)
            return try await demandAll(requests, at: key)
        }
        registry.add(databases)
        try await demandAll([registry.command] + requests, at: key)
    }

    /// Writes again what somebody may have removed.
    package func renew(_ registry: TaskRegistry) async throws(TargetError) {
        _ = try await demand(registry.command, at: TaskRegistry.key, in: 0)
        // Where a flush takes more than one step, a task that comes must not write between two of them.
        if servers.cluster != nil { try await ClusterFlush.refuse(others(in: registry), servers) }
    }

    package func others(in registry: TaskRegistry) async throws(TargetError) -> OtherTasks {
        registry.others(in: try await demand(["HGETALL", TaskRegistry.key], at: TaskRegistry.key, in: 0))
    }
}
