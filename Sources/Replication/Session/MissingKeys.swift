import Logging

/// How many keys that the target lacks come back without a full sync: those that wait to be read at the source, and a few
/// that comparing both sides finds, as when somebody has deleted them at the target.
///
/// Only where that is certain to be soon: both sides are being compared, and a whole pass takes minutes at most. Else a full
/// sync brings them. What two whole passes have not found missing is no key that a client of the source sees, such as the
/// copies that a PFMERGE leaves in other shards.
struct MissingKeys {
    /// Keys that comparing may bring back.
    static let most = 100
    static let longestPass = Duration.seconds(600)
    /// The one that was under way may have been past the key.
    static let passes = 3

    private let refreshes: RefreshQueue
    private let scrubbing: ScrubRecord?
    private let logger: Logger
    /// When keys were counted to be missing.
    private var before: (passes: Int, unplaced: Int)?

    /// - Parameter scrubbing: `nil`: nobody compares both sides.
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

    /// Every key of the source has been found at the target since some were counted to be missing.
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
