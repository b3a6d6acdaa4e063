import Dashboard
import Replication

/// The lines for an operator who waits while both sides are compared: how far it is, now and then; what keeps it from going on,
/// at once and once; and that it has begun again.
struct ComparisonLines {
    private static let pause = Duration.seconds(10)

    private var last: ContinuousClock.Instant
    /// What has been said to be in the way.
    private var obstacle: String?

    init(at now: ContinuousClock.Instant) { last = now }

    /// - Returns: `nil`: nothing is to be said now.
    mutating func next(_ answer: VerificationAnswer, at now: ContinuousClock.Instant) -> String? {
        if answer.state == .waiting {
            // The task begins within a moment.
            guard answer.failure != nil || answer.phase != .stable, answer.progress != obstacle else {
                return nil
            }
            obstacle = answer.progress
            return say(answer.progress, at: now)
        }
        // Another attempt, which may fail as the one before.
        if answer.state == .comparing, answer.expectedKeys == 0 { return nil }
        if obstacle != nil {
            obstacle = nil
            return say("\(answer.state == .comparing ? "it begins again, " : "")\(answer.progress)", at: now)
        }
        return last.duration(to: now) >= Self.pause ? say(answer.progress, at: now) : nil
    }

    private mutating func say(_ line: String, at now: ContinuousClock.Instant) -> String {
        last = now
        return line
    }
}
