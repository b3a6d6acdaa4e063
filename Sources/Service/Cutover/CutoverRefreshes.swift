import Base
import Dashboard
import Replication

/// Makes the task read the keys at the source for which the journal does not say enough, and waits until the target has
/// them. Runs while writers wait and after every record is applied.
struct CutoverRefreshes {
    private static let pause = Duration.milliseconds(5)
    /// As fast as possible, because nobody else needs the source now.
    private static let keysPerSecond = 1_000_000

    private let task: CutoverTask
    private let request: CutoverService.Request
    private let say: @Sendable (String) -> Void

    init(_ task: CutoverTask, _ request: CutoverService.Request, say: @escaping @Sendable (String) -> Void) {
        (self.task, self.request, self.say) = (task, request, say)
    }

    /// - Throws: `CutoverFailure`, `ControlClient.Failure`, `CancellationError`.
    func finish(until deadline: ContinuousClock.Instant) async throws {
        let receipt: OperatorRequestAnswer<RefreshReceipt>
        do {
            receipt = try await task.client.request { try $0.refreshWaiting(keysPerSecond: Self.keysPerSecond) }
        } catch ControlClient.Failure.impossible {
            // The task never reads keys at the source, and counts what differs as an incident.
            return
        }
        if receipt.asked == 0 { return }
        while true {
            let progress = try await task.client.request { try $0.refreshProgress(before: receipt.mark) }
            guard progress.pid == receipt.pid, progress.phase == .stable else {
                throw CutoverFailure(
                    "the task does not follow its source any more (\(progress.phase.rawValue)); its log says why",
                    .notDone
                )
            }
            let failed = progress.failed - receipt.failedBefore
            let waiting = progress.waiting + progress.changing
            if waiting == 0 {
                guard failed == 0 else {
                    return try differ(
                        "\(counted(failed, "key")) could not be read at the source or written at the target")
                }
                return say(
                    "\(counted(receipt.asked, "key")) that waited to be read at the source \(receipt.asked == 1 ? "is" : "are") as there"
                )
            }
            if let obstacle = progress.obstacle {
                return try differ(
                    "\(counted(waiting, "key")) that may differ \(waiting == 1 ? "is" : "are") not read at the source: \(obstacle)"
                )
            }
            guard ContinuousClock.now < deadline else {
                return try differ(
                    "\(waiting) of \(counted(receipt.asked, "key")) that may differ \(waiting == 1 ? "was" : "were") not read at the source in time (--pause-limit allows more)"
                )
            }
            try await Task.sleep(for: Self.pause)
        }
    }

    private func differ(_ what: String) throws(CutoverFailure) {
        guard request.verifies else { return say("\(what): see the task's log") }
        throw CutoverFailure("\(what), see the task's log (--no-verify cuts over all the same)", .keysDiffer)
    }
}
