import Redis

/// Counts the keys that the target has removed by itself since the task began.
///
/// A server's counters begin anew with its process, and with CONFIG RESETSTAT.
struct KeyLoss: Equatable, Sendable {
    /// Keys that are gone since the last poll.
    struct Change: Equatable, Sendable {
        var evicted = 0
        var expired = 0
    }

    private var runID: String?
    private var evicted = 0
    private var expired = 0
    /// Keys that the target held at the last poll.
    private(set) var lastKeys = 0

    /// - Returns: what has been lost since the last call; nothing at the first one.
    mutating func update(_ figures: TargetFigures) -> Change {
        defer {
            runID = figures.runID
            (evicted, expired, lastKeys) = (figures.evictedKeys, figures.expiredKeys, figures.keys)
        }
        guard let runID else { return Change() }
        let isSame = runID == figures.runID && figures.evictedKeys >= evicted && figures.expiredKeys >= expired
        return Change(
            evicted: figures.evictedKeys - (isSame ? evicted : 0),
            expired: figures.expiredKeys - (isSame ? expired : 0))
    }
}
