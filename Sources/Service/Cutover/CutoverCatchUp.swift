import Base
import Dashboard
import Dragonfly
import Replication

/// Waits until the target has everything that the source has journaled.
struct CutoverCatchUp {
    private static let pause = Duration.milliseconds(5)

    let task: CutoverTask
    let source: WritePause
    let deadline: ContinuousClock.Instant

    /// Waits while writers are paused and no key expires, so a single reading of the source's position is enough.
    ///
    /// - Returns: the number of records that were missing at this reading.
    /// - Throws: `CutoverFailure`, `SourceError`, `ControlClient.Failure`, `CancellationError`.
    func waitWhilePaused() async throws -> UInt64 {
        let goal = try await source.nextLSNs()
        return try await reach(goal, in: try await task.stablePositions())
    }

    /// Waits without a pause until the source's position stays the same while the target reaches it.
    ///
    /// - Returns: the number of records that were missing in the beginning.
    /// - Throws: as `waitWhilePaused`; `CutoverFailure` also if the source keeps journaling.
    func waitForQuiet() async throws -> UInt64 {
        let first = try await task.stablePositions()
        var goal = try await source.nextLSNs()
        let missing = try await reach(goal, in: first)
        while true {
            try await Task.sleep(for: .milliseconds(200))
            let now = try await source.nextLSNs()
            if now == goal { return missing }
            let moved = zip(now, goal).reduce(0) { $0 + ($1.0 - min($1.0, $1.1)) }
            guard ContinuousClock.now < deadline else {
                throw CutoverFailure(
                    "the source goes on journaling (\(counted(Int(clamping: moved), "record")) in the last 0.2 s): stop the writers, or cut over without --no-pause",
                    .notDone)
            }
            goal = now
            _ = try await reach(goal, in: first)
        }
    }

    private func reach(_ goal: [UInt64], in first: PositionsDocument) async throws -> UInt64 {
        guard goal.count == first.nextLSNs.count else {
            throw CutoverFailure(
                "the source has \(counted(goal.count, "shard")), the task \(counted(first.nextLSNs.count, "flow"))",
                .misconfigured)
        }
        let missing = Self.missing(first, goal)
        var now = first
        while true {
            let left = Self.missing(now, goal)
            if left == 0 { return missing }
            guard ContinuousClock.now < deadline else {
                throw CutoverFailure(
                    "\(counted(Int(clamping: left), "record", "was", "were")) not applied in time, of \(missing)",
                    .notDone,
                    advice: now.targetLost ? "the target does not serve" : "--pause-limit allows more time")
            }
            try await Task.sleep(for: Self.pause)
            now = try await task.positions()
            guard now.pid == first.pid, now.session == first.session, now.isStable else {
                throw CutoverTask.lost(now)
            }
        }
    }

    private static func missing(_ positions: PositionsDocument, _ goal: [UInt64]) -> UInt64 {
        zip(goal, positions.nextLSNs).reduce(0) { $0 + ($1.0 - min($1.0, $1.1 ?? 0)) }
    }
}
