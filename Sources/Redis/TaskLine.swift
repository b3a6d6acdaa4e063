/// The entry of one task in the `TaskRegistry`.
///
/// ```
/// 0,3,full,follows:<replication id>:<instance>:<databases>
/// ```
/// The line lists the databases that the task fills, whether it has completed a full sync, and which source it follows
/// (`FollowedSource`). Unknown words are ignored.
struct TaskLine: Equatable, Sendable {
    private static let full = "full"

    var databases: Set<UInt32> = []
    var isFull = false
    var source = FollowedSource.unsaid

    init() {}

    init(_ text: String) {
        for word in text.split(separator: ",") {
            if let database = UInt32(word) {
                databases.insert(database)
            } else if word == Self.full {
                isFull = true
            } else if let found = FollowedSource(word) {
                source = found
            }
        }
    }

    var text: String {
        var words = databases.sorted().map(String.init)
        if isFull, !databases.isEmpty { words.append(Self.full) }
        if let word = source.word { words.append(word) }
        return words.joined(separator: ",")
    }
}

/// The source that a task follows according to its line.
package enum FollowedSource: Equatable, Sendable {
    /// The line does not say: an earlier version has written it, or no process of the task has reached a source yet.
    case unsaid
    /// No source: the task's process was refused because another task followed the source.
    case none
    case claimed(SourceClaim)

    private static let prefix = "follows:"

    init?(_ word: some StringProtocol) {
        guard word.hasPrefix(Self.prefix) else { return nil }
        self = SourceClaim(word.dropFirst(Self.prefix.count)).map { .claimed($0) } ?? .none
    }

    var word: String? {
        switch self {
        case .unsaid: nil
        case .none: "\(Self.prefix)none"
        case .claimed(let claim): Self.prefix + claim.text
        }
    }
}

/// The claim of a process that it fills the target from a source.
///
/// The claim is valid as long as the record of the task's owner names this process. A claim that an earlier process has left
/// has no meaning.
package struct SourceClaim: Equatable, Sendable {
    package var replicationID: String
    /// The instance of the process (`OwnershipRecord.instance`).
    package var instance: Substring
    /// The databases that the process may fill.
    package var scope: DatabaseScope

    package init(replicationID: String, instance: Substring, scope: DatabaseScope) {
        (self.replicationID, self.instance, self.scope) = (replicationID, instance, scope)
    }

    init?(_ text: some StringProtocol) {
        let words = text.split(separator: ":", omittingEmptySubsequences: false)
        guard words.count >= 3 else { return nil }
        self.init(
            replicationID: String(words[0]), instance: Substring(String(words[1])), scope: DatabaseScope(words[2]))
    }

    var text: String { "\(replicationID):\(instance):\(scope.text)" }

    /// Whether processes with these two claims would apply the same records to the same databases.
    package func collides(with other: Self) -> Bool {
        replicationID == other.replicationID && scope.overlaps(other.scope)
    }
}
