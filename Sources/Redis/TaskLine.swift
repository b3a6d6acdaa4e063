/// What `TaskRegistry` has of one task.
///
/// ```
/// 0,3,full,follows:<replication id>:<instance>:<databases>
/// ```
/// The databases that it fills; that it has completed a full sync; which source it follows (`FollowedSource`). Words that are not
/// known are left out.
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

/// Which source a task follows, as its line says.
package enum FollowedSource: Equatable, Sendable {
    /// Nothing: an earlier version has written the line, or no process of the task has got as far as a source.
    case unsaid
    /// None: its process has been refused, because another task followed the source.
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

/// That a process fills the target from a source. It holds as long as the record of the task's owner is that process's: what an
/// earlier one has left means nothing.
package struct SourceClaim: Equatable, Sendable {
    package var replicationID: String
    /// Of the process (`OwnershipRecord.instance`).
    package var instance: Substring
    /// Those that it may fill.
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

    /// A process with either would apply what the other one applies.
    package func collides(with other: Self) -> Bool {
        replicationID == other.replicationID && scope.overlaps(other.scope)
    }
}
