/// What `TaskRegistry` has of one task.
///
/// ```
/// 0,3,full,follows:<replication id>:<instance>:<databases>
/// ```
/// The line lists the databases that the task fills, whether it has completed a full sync, and which source it follows
/// (`FollowedSource`). Unknown words are ignored.
struct RegistryEntry: Equatable, Sendable {
    private static let full = "full"

    var databases: Set<UInt32> = []
    var isFull = false
    var source = FollowedSource.unknown

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
