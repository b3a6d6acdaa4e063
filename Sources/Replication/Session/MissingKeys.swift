import Logging

/// Estimates how many of the keys that the target lacks come back without a full sync. These are the keys that wait to be
/// read at the source, and a few that the comparison of both sides finds, for example after somebody deleted them at the
/// target.
///
/// The comparison counts only if it will find the keys soon: it is running, and a whole pass takes minutes at most.
/// Otherwise a full sync brings the keys. If two whole passes find no missing key, the source counts keys that no client
/// can see, such as the copies that a PFMERGE leaves in other shards.
struct MissingKeys {
    /// The number of keys that the comparison may bring back.
    static let most = 100
    static let longestPass = Duration.seconds(600)
    /// Three passes, because the pass that was under way may already have been past the key.
    static let passes = 3

    private let refreshes: RefreshQueue
    private let scrubbing: ScrubRecord?
    private let logger: Logger
    /// The figures of the comparison when keys were first counted as missing.
    private var before: (passes: Int, unplaced: Int)?

    /// - Parameter scrubbing: `nil` if both sides are not compared.
    init(_ refreshes: RefreshQueue, scrubbing: ScrubRecord?, logger: Logger) {
        (self.refreshes, self.scrubbing, self.logger) = (refreshes, scrubbing, logger)
    }

    var mendable: Int {
        let figures = refreshes.figures
        guard figures.obstacle == nil else { return 0 }
        return figures.waiting + (isCompared ? Self.most : 0)
    }

    private var isCompared: Bool {
        guard let figures = scrubbing?.figures, figures.obstacle == nil, let pass = figures.lastPass else {
            return false
        }
        return pass <= Self.longestPass
    }

    /// Whether all keys of the source were found at the target since some were counted as missing.
    var areNone: Bool {
        guard let before, let figures = scrubbing?.figures, isCompared, refreshes.figures.waiting == 0 else {
            return false
        }
        return figures.passes >= before.passes + Self.passes && figures.unplaced == before.unplaced
    }

    mutating func areMissing(_ count: Int) {
        guard before == nil else { return }
        let figures = scrubbing?.figures
        before = (figures?.passes ?? 0, figures?.unplaced ?? 0)
        logger.warning(
            "the target lacks \(count) keys that the source has: they are read at the source, or a full sync brings them",
            metadata: ["phase": "stable"])
    }

    mutating func areBack() { before = nil }
}
