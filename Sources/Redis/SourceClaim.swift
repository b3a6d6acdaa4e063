/// The claim of a process that it fills the target from a source.
///
/// The claim is valid as long as the record of the task's owner names this process. A claim that an earlier process has left
/// has no meaning.
package struct SourceClaim: Equatable, Sendable {
    package var replicationID: String
    /// The instance of the process (`OwnershipRecord.instance`).
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

    /// Whether processes with these two claims would apply the same records to the same databases.
    package func collides(with other: Self) -> Bool {
        replicationID == other.replicationID && scope.overlaps(other.scope)
    }
}
