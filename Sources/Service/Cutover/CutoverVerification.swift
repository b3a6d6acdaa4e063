import Base
import Dashboard
import Replication

/// Compares both sides before anybody is paused, has the differences mended, and waits until the task knows the streams
/// that consumers have read without a record.
struct CutoverVerification {
    private static let pause = Duration.milliseconds(200)

    private let task: CutoverTask
    private let request: CutoverService.Request
    private let say: @Sendable (String) -> Void

    init(_ task: CutoverTask, _ request: CutoverService.Request, say: @escaping @Sendable (String) -> Void) {
        (self.task, self.request, self.say) = (task, request, say)
    }

    /// - Returns: whether it compared both sides, which may take long.
    /// - Throws: `CutoverFailure`, `OperatorRequestFailure`, `ControlClient.Failure`, `CancellationError`.
    func run() async throws -> Bool {
        // Ask now: an old daemon that does not know this request would otherwise fail later, while writers wait.
        var streams = try await task.client.request { try $0.streams() }
        guard request.verifies else { return false }
        try await verify()
        if streams.walking { say("looking for the source's streams that have groups of consumers") }
        while streams.walking {
            try await Task.sleep(for: Self.pause)
            streams = try await task.client.request { try $0.streams() }
        }
        return true
    }

    private func verify() async throws {
        let lines = Lock(ComparisonLines(at: .now))
        let outcome: VerificationAnswer
        do {
            outcome = try await TaskVerification(task.client).wait(
                onBegin: { [say] in
                    say(
                        "comparing both sides at \($0.keysPerSecond) keys a second, and mending what differs; nobody waits for it"
                    )
                },
                onProgress: { [say] answer in
                    if let line = lines.withLock({ $0.next(answer, at: .now) }) { say(line) }
                })
        } catch ControlClient.Failure.impossible(let reason) {
            return say("both sides are not compared before: \(reason)")
        } catch let error as OperatorRequestFailure {
            throw error
        }
        for line in outcome.report where outcome.commandStatus == .done || outcome.commandStatus == .keysDiffer {
            say(line)
        }
        switch outcome.commandStatus {
        case .done: break
        case .keysDiffer:
            throw CutoverFailure(
                "\(counted(outcome.unmended, "key", "differs", "differ")) and could not be mended; nothing was changed (--no-verify cuts over all the same)",
                .keysDiffer)
        default:
            throw CutoverFailure(
                "\(outcome.report[0]); nothing was changed (--no-verify cuts over without)", outcome.commandStatus)
        }
    }
}
