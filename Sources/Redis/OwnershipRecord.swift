import Link
import Wire

/// The key of the target that names the process which runs a task.
///
/// ```
/// <the checkpoint's key>:owner   string with a TTL   <instance> <host> <pid> <machine> <start>
/// ```
/// The owner renews the TTL, and the key expires by the target's own clock. Every connection of the task reads the key
/// before it is used, and is closed if the key names another process.
package struct OwnershipRecord: Equatable, Sendable {
    package static let suffix = ":owner"
    /// How long a record lasts if nobody renews it.
    package static let lifetime = Duration.seconds(15)

    package let key: String
    /// The value, which consists of five words.
    package let text: String

    /// - Parameter isInCluster: whether the record's key must be in the slot of the checkpoint's.
    package init(checkpoint: String, text: String, isInCluster: Bool = false) {
        key = Self.key(checkpoint: checkpoint, isInCluster: isInCluster)
        self.text = text
    }

    package static func key(checkpoint: String, isInCluster: Bool) -> String {
        guard isInCluster else { return checkpoint + suffix }
        let name = "df2redis\(suffix):\(checkpoint)"
        return String(decoding: SlotTag.key(name, in: KeySlot(of: checkpoint)), as: UTF8.self)
    }

    /// The keys that each task has besides data: its checkpoint, this record, its entry in the registry.
    static func companions(of checkpoint: String, isInCluster: Bool) -> [String] {
        [checkpoint, key(checkpoint: checkpoint, isInCluster: isInCluster), TaskRegistry.key]
    }

    /// `SET key text PX lifetime`
    var command: [String] { ["SET", key, text, "PX", "\(Self.lifetime.milliseconds)"] }

    /// The process that a record's text names: the random ID that the process chose at its start.
    package static func instance(of text: String) -> Substring { text.prefix { $0 != " " } }

    package var instance: Substring { Self.instance(of: text) }

    /// Describes the process that a record's text names, in words for a DBA.
    package static func description(of text: String) -> String {
        let words = text.split(separator: " ")
        guard words.count >= 3 else { return "an unknown process" }
        return "process \(words[2]) on host \(words[1])"
    }

    /// Whether this process may replace what the key holds: nothing, its own text, or that of a process which has ended. A
    /// target that has lost its latest writes, such as a promoted replica, may hold the text of a predecessor again.
    package func mayReplace(_ found: String?) -> Bool {
        guard let found else { return true }
        return found == text || ProcessIdentity.hasEnded(found)
    }

    /// - Parameter found: what the key holds.
    /// - Throws: `TargetError` if it names another process, unless that has certainly ended.
    func check(_ found: String?) throws(TargetError) {
        guard let found, !mayReplace(found) else { return }
        throw TargetError(
            .taskTaken,
            "the task is run by \(Self.description(of: found)), as \(key) in the target says. One task, one process: stop "
                + "that one, or give this one a taskName of its own")
    }
}

/// What the key of a record holds.
package struct RecordHolder: Equatable, Sendable {
    /// The record's text; `nil` if the key does not exist.
    package var text: String?
    /// The milliseconds until the key expires; -1 if it never does.
    package var endsIn: Int64
    /// The connection that watches the key (`TargetRequests.connectionNumber`).
    var watcher: Int

    /// Requests that begin to watch the key and read it.
    static func questions(_ key: String) -> [[String]] { [["WATCH", key], ["GET", key], ["PTTL", key]] }

    /// - Parameters:
    ///   - replies: the replies to `questions`.
    ///   - watcher: the connection that asked.
    init(_ replies: some Collection<RESPValue>, watcher: Int) throws(TargetError) {
        self.watcher = watcher
        let replies = Array(replies)
        for (reply, name) in zip(replies, ["WATCH", "GET", "PTTL"]) {
            if case .error(let text) = reply { throw TargetError.reply(text, to: name) }
        }
        text = replies[1].text
        endsIn = text == nil ? 0 : replies[2].int ?? 0
    }
}

/// Access to the record for its owner.
extension TargetControl {
    /// Returns the text of the record of the task with this checkpoint; `nil` if no process runs the task.
    package func owner(ofCheckpoint checkpoint: String) async throws(TargetError) -> String? {
        let key = OwnershipRecord.key(checkpoint: checkpoint, isInCluster: servers.cluster != nil)
        return try await execute(["GET", key], at: key, in: 0).text
    }

    /// Replaces what `key` holds if `mayReplace` allows it and nobody else changes the key at the same time.
    ///
    /// - Parameters:
    ///   - record: the new record; `nil` to remove the key.
    ///   - mayReplace: called with what the key holds; `nil` if the key does not exist.
    /// - Returns: whether the key was replaced, and what it held before.
    package func exchange(
        _ key: String, with record: OwnershipRecord?, mayReplace: @Sendable (String?) -> Bool
    ) async throws(TargetError) -> (isReplaced: Bool, found: RecordHolder) {
        let command = record?.command ?? ["DEL", key]
        // All requests go over one connection, because WATCH applies to a single connection.
        return try await servers.at(key.bytes) { (server) throws(TargetError) in
            try await server.sequence { (sequence) throws(TargetError) in
                try await sequence.execute("SELECT", "0")
                while true {
                    let found = try RecordHolder(
                        try await sequence.executeAll(RecordHolder.questions(key)), watcher: sequence.number)
                    guard mayReplace(found.text) else {
                        try await sequence.execute("UNWATCH")
                        return (false, found)
                    }
                    let outcome = try await sequence.executeAll([["MULTI"], command, ["EXEC"]])
                    // A null means that the key was changed, or has expired, since WATCH.
                    if case .array(.some)? = outcome.last { return (true, found) }
                }
            }
        }
    }
}
