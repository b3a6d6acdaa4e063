import Dashboard
import Replication

/// The lines for an operator who waits while both sides are compared: the progress every ten seconds, each obstacle once
/// and at once, and the end of an obstacle.
struct ComparisonLines {
    private static let pause = Duration.seconds(10)

    private var last: ContinuousClock.Instant
    /// The obstacle that was reported last.
    private var obstacle: String?

    init(at now: ContinuousClock.Instant) { last = now }

    /// - Returns: `nil` if there is nothing to report now.
    mutating func next(_ answer: VerificationAnswer, at now: ContinuousClock.Instant) -> String? {
        if answer.state == .waiting {
            // Without a failure the task begins in a moment.
            guard answer.failure != nil || answer.phase != .stable, answer.progress != obstacle else {
                return nil
            }
            obstacle = answer.progress
            return say(answer.progress, at: now)
        }
        // This is another attempt, which may fail as the one before did.
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
