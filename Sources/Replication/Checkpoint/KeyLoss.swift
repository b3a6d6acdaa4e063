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

/// Counts the keys that the target has expired, but for the owner's record of this task, which ends while the target does not
/// answer (`TaskLease`). Whether that is what has ended the lease finds out a moment later: so a count waits for one poll.
struct ExpiredKeys: Equatable, Sendable {
    private var waiting = 0
    private var explainedLapses: Int

    /// - Parameter lapses: how often the record has ended so far.
    init(lapses: Int) { explainedLapses = lapses }

    /// - Parameters:
    ///   - expired: keys since the last poll.
    ///   - lapses: how often the record has ended so far.
    /// - Returns: how many keys up to the last poll are to be reported.
    mutating func update(expired: Int, lapses: Int) -> Int {
        let explained = min(waiting, lapses - explainedLapses)
        explainedLapses += explained
        defer { waiting = expired }
        return waiting - explained
    }

    /// What has ended so far is of no interest.
    mutating func forget(lapses: Int) { (waiting, explainedLapses) = (0, lapses) }
}
