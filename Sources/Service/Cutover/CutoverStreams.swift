import Base
import Dashboard
import Replication

/// Makes the task read the streams at the source whose groups consumers have read without a record (before v1.37), and
/// waits until the target has them. Runs while writers wait and after every record is applied.
struct CutoverStreams {
    private static let pause = Duration.milliseconds(5)

    private let task: CutoverTask
    private let request: CutoverService.Request
    private let say: @Sendable (String) -> Void

    init(_ task: CutoverTask, _ request: CutoverService.Request, say: @escaping @Sendable (String) -> Void) {
        (self.task, self.request, self.say) = (task, request, say)
    }

    /// - Throws: `CutoverFailure`, `ControlClient.Failure`, `CancellationError`.
    func fetch(until deadline: ContinuousClock.Instant) async throws {
        let before = try await task.client.request { try $0.streams() }
        if before.known == 0, before.complete { return }
        if !before.complete || before.leftOut > 0 {
            say(
                "not every stream with groups of consumers is known: what consumers read of the others may be delivered again"
            )
        }
        if before.known == 0 { return }
        if let obstacle = before.obstacle {
            return say("\(streams(before.known)) not read at the source: \(obstacle)")
        }
        let asked: Int
        do {
            asked = try await task.client.request { try $0.fetchStreams() }.asked ?? 0
        } catch ControlClient.Failure.impossible(let reason) {
            return say("\(streams(before.known)) not read at the source: \(reason)")
        }
        try await wait(asked, before, until: deadline)
        say("\(streams(asked)) as at the source")
    }

    /// The beginning of a sentence about streams.
    private func streams(_ count: Int) -> String {
        "\(counted(count, "stream")) with groups of consumers \(count == 1 ? "is" : "are")"
    }

    private func wait(
        _ asked: Int, _ before: OperatorRequestAnswer<StreamsDocument>, until deadline: ContinuousClock.Instant
    ) async throws {
        while true {
            let now = try await task.client.request { try $0.streams() }
            guard now.pid == before.pid, now.phase == .stable else {
                throw CutoverFailure(
                    "the task does not follow its source any more (\(now.phase.rawValue)); its log says why", .notDone)
            }
            guard now.failed == before.failed || !request.verifies else {
                throw CutoverFailure(
                    "\(counted(now.failed - before.failed, "key")) could not be read at the source or written at the target, see the task's log (--no-verify cuts over all the same)",
                    .keysDiffer)
            }
            if now.waiting == 0 { return }
            guard ContinuousClock.now < deadline else {
                throw CutoverFailure(
                    "\(now.waiting) of \(counted(asked, "stream")) with groups of consumers \(now.waiting == 1 ? "was" : "were") not read at the source in time: --pause-limit allows more",
                    .notDone)
            }
            try await Task.sleep(for: Self.pause)
        }
    }
}
