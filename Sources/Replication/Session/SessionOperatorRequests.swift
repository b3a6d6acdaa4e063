import Base
import Dragonfly
import Logging

/// Carries out what an operator asks of a task, as long as the session is stable (`OperatorRequests`).
@SessionActor
final class SessionOperatorRequests {
    private static let pause = Duration.milliseconds(200)
    private static let failurePause = Duration.seconds(2)

    private let task: TaskContext
    private let flows: SessionFlows
    private let target: KnownTarget
    private let backgroundTasks: BackgroundTasks
    private var logger: Logger { task.logger }

    init(_ task: TaskContext, flows: SessionFlows, target: KnownTarget, backgroundTasks: BackgroundTasks) {
        (self.task, self.flows, self.target, self.backgroundTasks) = (task, flows, target, backgroundTasks)
    }

    /// Starts the work. Called when every flow is in its journal.
    ///
    /// - Parameters:
    ///   - own: the databases whose keys all belong to the task.
    ///   - wake: wakes the part that reads keys at the source.
    func start(own: @escaping @SessionActor @Sendable () -> Set<UInt32>, wake: @escaping @Sendable () -> Void) {
        guard let queue = task.refreshes, let verification = task.operatorRequests.verificationAtWork else { return }
        backgroundTasks.start(.operatorRequests) { [self] in
            while !Task.isCancelled {
                task.operatorRequests.learn(await flows.placement(), wake: wake)
                // Keys that are still to be removed would be found to differ.
                if let verifier = task.settings.verifier, !backgroundTasks.isRunning(.reconciliation) {
                    let removable = target.hasOtherTasks ? [] : own()
                    await pass(
                        VerificationPass(task, verifier, queue, flows, removable: removable, origin: .operatorRequest),
                        verification)
                }
                try? await Task.sleep(for: Self.pause)
            }
            task.operatorRequests.sessionEnded()
        }
    }

    /// Compares both sides if an operator has asked for it.
    private func pass(_ pass: VerificationPass, _ verification: Verification) async {
        let stop = PassStop()
        guard let order = verification.take(stop: { stop.request() }) else { return }
        let rate = order.keysPerSecond
        logger.log(
            level: order.isTriedAgain ? .debug : .notice, "comparing both sides at \(rate) keys a second, as asked",
            metadata: ["phase": "stable"])
        // This call owns the task and waits for its end.
        let work = Task { () -> Result<Void, Verifier.Failure> in
            do throws(Verifier.Failure) {
                return .success(
                    try await pass.run(
                        keysPerSecond: rate, onFinding: { verification.found($0) },
                        onProgress: { verification.noteProgress($0) }))
            } catch {
                return .failure(error)
            }
        }
        stop.set { work.cancel() }
        let result = await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
        switch result {
        case .success where !work.isCancelled:
            verification.compared()
            let figures = verification.figures
            logger.notice(
                "both sides have been compared as asked: \(figures.progress.keys) keys, \(figures.found) of them differed",
                metadata: ["phase": "stable"])
        case .failure(let failure) where !work.isCancelled && !failure.isTransient:
            verification.failed(failure)
            logger.warning("both sides cannot be compared: \(failure)")
        case .failure(let failure) where !work.isCancelled:
            verification.interrupted(failure)
            logger.debug("both sides cannot be compared: \(failure)")
            try? await Task.sleep(for: Self.failurePause)
        case .success, .failure: verification.interrupted(nil)
        }
    }
}

/// Stops a pass, even if the pass has not begun yet.
private final class PassStop: Sendable {
    private let state = Lock((isRequested: false, stop: Optional<@Sendable () -> Void>.none))

    func request() {
        state.withLock { state in
            state.isRequested = true
            return state.stop
        }?()
    }

    func set(_ stop: @escaping @Sendable () -> Void) {
        let isRequested = state.withLock { state in
            state.stop = stop
            return state.isRequested
        }
        if isRequested { stop() }
    }
}
