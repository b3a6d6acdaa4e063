import Redis

/// Counts the keys that the target has removed by itself since the task began.
///
/// A server's counters restart with its process and with CONFIG RESETSTAT.
struct KeyLoss: Equatable, Sendable {
    /// The number of keys removed since the last poll.
    struct Change: Equatable, Sendable {
        var evicted = 0
        var expired = 0
    }

    private var runID: String?
    private var evicted = 0
    private var expired = 0
    /// The number of keys that the target held at the last poll.
    private(set) var lastKeys = 0

    /// - Returns: the losses since the last call; none at the first call.
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

/// Counts the keys that the target has expired, without the owner record of this task, which expires while the target does
/// not answer (`TaskLease`). The lease finds out a moment later whether its record has expired, so each count is held back
/// for one poll.
struct ExpiredKeys: Equatable, Sendable {
    private var waiting = 0
    private var explainedLapses: Int

    /// - Parameter lapses: how often the record has expired so far.
    init(lapses: Int) { explainedLapses = lapses }

    /// - Parameters:
    ///   - expired: the number of keys expired since the last poll.
    ///   - lapses: how often the record has expired so far.
    /// - Returns: the number of keys up to the previous poll that should be reported.
    mutating func update(expired: Int, lapses: Int) -> Int {
        let explained = min(waiting, lapses - explainedLapses)
        explainedLapses += explained
        defer { waiting = expired }
        return waiting - explained
    }

    /// Ignores everything that has expired so far.
    mutating func forget(lapses: Int) { (waiting, explainedLapses) = (0, lapses) }
}
