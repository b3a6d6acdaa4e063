import Base
import Logging

/// Estimates how many of the keys that the target lacks come back without a full sync. These are the keys that wait to be
/// read at the source, and a few that a comparison of both sides finds, for example after somebody deleted them at the
/// target.
///
/// | both sides are compared | the comparison counts |
/// |---|---|
/// | all the time (`verify.keysPerSecond`) | if a whole pass takes minutes at most |
/// | once, because keys are missing (`beginSearch`) | until it ends, takes too long, or finds too much |
///
/// Otherwise a full sync brings the keys. If two whole passes find no missing key, the source counts keys that no client
/// can see, such as the copies that a PFMERGE leaves in other shards.
struct MissingKeys {
    /// The number of keys that a comparison may bring back.
    static let most = 100
    static let longestPass = Duration.seconds(600)
    /// Three passes, because the pass that was under way may already have been past the key.
    static let passes = 3
    /// The pace of a search in keys per second, which is the slowest one that takes half of `longestPass` at most.
    private static let searchRates = 1000...5000

    /// A comparison that was begun because keys are missing.
    private struct Search {
        /// The number of its pass; `nil` while another pass, which may be past the keys, has to end first.
        var pass: Int?
        let end = ContinuousClock.now + MissingKeys.longestPass

        var isLate: Bool { ContinuousClock.now >= end }
    }

    private let refreshes: RefreshQueue
    private let verifierRecord: VerifierRecord?
    private let verification: Verification?
    private let logger: Logger
    /// The figures of the comparison when keys were first counted as missing.
    private var before: (passes: Int, unplaced: Int)?
    private var search: Search?

    /// - Parameters:
    ///   - verifierRecord: `nil` if both sides are not compared.
    ///   - verification: `nil` if both sides cannot be compared.
    init(_ refreshes: RefreshQueue, verifierRecord: VerifierRecord?, verification: Verification?, logger: Logger) {
        (self.refreshes, self.verifierRecord, self.verification) = (refreshes, verifierRecord, verification)
        self.logger = logger
    }

    var mendable: Int {
        let figures = refreshes.figures
        guard figures.obstacle == nil, !findsTooMuch else { return 0 }
        return figures.waiting + (isCompared || isSearching ? Self.most : 0)
    }

    private var isCompared: Bool {
        guard let figures = verifierRecord?.figures, figures.obstacle == nil, let pass = figures.lastPass else {
            return false
        }
        return pass <= Self.longestPass
    }

    /// Whether all keys of the source were found at the target since some were counted as missing.
    var areAllFound: Bool {
        guard let before, let figures = verifierRecord?.figures, isCompared, refreshes.figures.waiting == 0 else {
            return false
        }
        return figures.passes >= before.passes + Self.passes && figures.unplaced == before.unplaced
    }

    mutating func noteMissing(_ count: Int) {
        guard noteFigures() else { return }
        logger.warning(
            "the target lacks \(count) keys that the source has: they are read at the source, or a full sync brings them",
            metadata: ["phase": "stable"])
    }

    /// - Returns: `false` if keys were counted as missing before.
    private mutating func noteFigures() -> Bool {
        guard before == nil else { return false }
        let figures = verifierRecord?.figures
        before = (figures?.passes ?? 0, figures?.unplaced ?? 0)
        return true
    }

    mutating func noteNoneMissing() {
        before = nil
        guard let search, !isSearching else { return }
        // A search that has found nothing is not made again at once.
        if search.isLate || searchFigures?.found ?? 0 > 0 { self.search = nil }
    }

    // MARK: Searching

    /// The number of keys for which it is worth searching among `count` keys of the source.
    func searchable(among count: Int) -> Int {
        guard verification != nil, refreshes.figures.obstacle == nil, Self.rate(for: count) != nil else { return 0 }
        guard let search else { return Self.most }
        return search.pass == nil && !search.isLate ? Self.most : 0
    }

    /// Begins to search for missing keys among `count` keys of the source, if that has not begun.
    mutating func beginSearch(for missing: Int, among count: Int) {
        guard let verification, let rate = Self.rate(for: count) else { return }
        if search == nil { search = Search() }
        guard search?.pass == nil else { return }
        let (figures, isAnother) = verification.begin(keysPerSecond: rate)
        if !isAnother { search?.pass = figures.number }
        guard noteFigures() else { return }
        logger.warning(
            "the target lacks \(counted(missing, "key")) that the source has: both sides are compared to find them, and a full sync follows if that does not bring them",
            metadata: ["phase": "stable"])
    }

    private var isSearching: Bool {
        guard let search, !search.isLate, let figures = searchFigures else { return false }
        return !figures.phase.isOver
    }

    /// Whether so many keys differ that a full sync is the shorter way.
    private var findsTooMuch: Bool { searchFigures?.found ?? 0 > Self.most }

    /// `nil` if no search has begun or another pass has followed it.
    private var searchFigures: Verification.Figures? {
        guard let pass = search?.pass, let figures = verification?.figures else { return nil }
        return figures.number == pass ? figures : nil
    }

    /// Ends the search, because the session ends.
    func endSearch() {
        if let pass = search?.pass { verification?.stop(pass) }
    }

    /// - Returns: `nil` if a search would take too long.
    private static func rate(for count: Int) -> Int? {
        let rate = max(count / Int(longestPass.components.seconds / 2), searchRates.lowerBound)
        return searchRates.contains(rate) ? rate : nil
    }
}
