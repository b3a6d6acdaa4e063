import Logging

/// How many keys that the target lacks come back without a full sync: those that wait to be read at the source, and a few
/// that comparing both sides finds, as when somebody has deleted them at the target.
///
/// Only where that is certain to be soon: both sides are being compared, a whole pass takes minutes at most, and not more
/// than two whole passes have gone by since keys were missing. Else a full sync brings them.
struct MissingKeys {
    /// Keys that comparing may bring back.
    static let most = 100
    static let longestPass = Duration.seconds(600)
    /// The one that was under way may have been past the key.
    static let passes = 3

    private let refreshes: RefreshQueue
    private let scrubbing: ScrubRecord?
    private let logger: Logger
    /// When keys were found to be missing.
    private var passesBefore: Int?

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
        return pass <= Self.longestPass && passesBefore.map { figures.passes < $0 + Self.passes } ?? true
    }

    mutating func areMissing(_ count: Int) {
        guard passesBefore == nil else { return }
        passesBefore = scrubbing?.figures.passes ?? 0
        logger.warning(
            "the target lacks \(count) keys that the source has: they are read at the source, or a full sync brings them",
            metadata: ["phase": "stable"])
    }

    mutating func areBack() { passesBefore = nil }
}
