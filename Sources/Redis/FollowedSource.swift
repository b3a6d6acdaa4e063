/// Which source a task follows, as its entry says.
package enum FollowedSource: Equatable, Sendable {
    /// Nothing: an earlier version has written the entry, or no process of the task has got as far as a source.
    case unknown
    /// None: another task followed its source, so its process has been refused.
    case refused
    case claimed(SourceClaim)

    private static let prefix = "follows:"

    init?(_ word: some StringProtocol) {
        guard word.hasPrefix(Self.prefix) else { return nil }
        self = SourceClaim(word.dropFirst(Self.prefix.count)).map { .claimed($0) } ?? .refused
    }

    var word: String? {
        switch self {
        case .unknown: nil
        case .refused: "\(Self.prefix)none"
        case .claimed(let claim): Self.prefix + claim.text
        }
    }
}
