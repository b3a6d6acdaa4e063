import Dragonfly
import Link
import Logging

/// Compares both sides over and over while the session is stable. Keys that differ are read at the source (`Verifier`).
@SessionActor
final class SessionVerifier {
    private static let pauseBetweenPasses = Duration.seconds(1)
    private static let failurePause = Duration.seconds(10)

    private let task: TaskContext
    private let flows: SessionFlows
    private let target: KnownTarget
    private let backgroundTasks: BackgroundTasks
    private var logger: Logger { task.logger }

    init(_ task: TaskContext, flows: SessionFlows, target: KnownTarget, backgroundTasks: BackgroundTasks) {
        (self.task, self.flows, self.target, self.backgroundTasks) = (task, flows, target, backgroundTasks)
    }

    /// Starts the comparisons. Called when every flow is in its journal.
    ///
    /// - Parameter own: the databases whose keys all belong to the task.
    func start(own: @escaping @SessionActor @Sendable () -> Set<UInt32>) {
        let rate = task.settings.verifiesPerSecond
        guard let verifier = task.settings.verifier, let queue = task.refreshes, rate > 0 else { return }
        backgroundTasks.start(.verification) { [self] in
            while !Task.isCancelled {
                // Keys that are still to be removed would be found to differ.
                guard !backgroundTasks.isRunning(.reconciliation) else {
                    try? await Task.sleep(for: Self.pauseBetweenPasses)
                    continue
                }
                do throws(Verifier.Failure) {
                    let removable = target.hasOtherTasks ? [] : own()
                    try await pass(
                        VerificationPass(task, verifier, queue, flows, removable: removable, origin: .verification),
                        at: rate)
                    try? await Task.sleep(for: Self.pauseBetweenPasses)
                } catch {
                    if Task.isCancelled { return }
                    task.verifierRecord.failed(error)
                    guard error.isTransient else {
                        return task.incidents.reportOnce("both sides are no longer compared: \(error)", level: .warning)
                    }
                    logger.debug("both sides cannot be compared: \(error)")
                    try? await Task.sleep(for: Self.failurePause)
                }
            }
        }
    }

    private func pass(_ pass: VerificationPass, at rate: Int) async throws(Verifier.Failure) {
        let record = task.verifierRecord
        record.passBegan()
        try await pass.run(
            keysPerSecond: rate, onFinding: { record.found($0) }, onProgress: { record.noteProgress($0) })
        if Task.isCancelled { return }
        let figures = record.passEnded()
        let differing = figures.found == 0 ? "no difference" : "\(figures.found) differences so far in this process"
        logger.info(
            "both sides have been compared: \(figures.progress.keys) keys, \(differing)", metadata: ["phase": "stable"])
    }
}

/// The figures of the comparisons, over all sessions.
final class VerifierRecord: Sendable {
    /// What happens with a key that was found to differ.
    enum Disposition { case asked, foreign, unplaced, leftOut }

    private let state = Lock((figures: VerifierFigures(), began: ContinuousClock.now, foundBefore: 0))

    var figures: VerifierFigures { state.withLock { $0.figures } }

    func passBegan() {
        state.withLock {
            $0.figures.progress = .init(keys: 0, expectedKeys: 0)
            $0.figures.obstacle = nil
            $0.began = .now
            $0.foundBefore = $0.figures.found
        }
    }

    func noteProgress(_ progress: Verifier.Progress) {
        state.withLock {
            $0.figures.progress = progress
            let elapsed = $0.began.duration(to: .now)
            let left = max(progress.expectedKeys - progress.keys, 0)
            $0.figures.timeLeft = progress.keys == 0 ? nil : elapsed * left / progress.keys
        }
    }

    func passEnded() -> VerifierFigures {
        state.withLock {
            $0.figures.passes += 1
            $0.figures.lastPass = $0.began.duration(to: .now)
            $0.figures.timeLeft = nil
            $0.figures.finished = FinishedPass(
                at: WallClock.milliseconds(), progress: $0.figures.progress, found: $0.figures.found - $0.foundBefore)
            return $0.figures
        }
    }

    func found(_ disposition: Disposition) {
        state.withLock {
            $0.figures.found += 1
            switch disposition {
            case .asked: $0.figures.asked += 1
            case .foreign: $0.figures.foreign += 1
            case .unplaced: $0.figures.unplaced += 1
            // The queue counts the key as failed.
            case .leftOut: break
            }
        }
    }

    func failed(_ failure: Verifier.Failure) { state.withLock { $0.figures.obstacle = failure.description } }
}
