import Comparison
import Dragonfly
import Link
import Redis
import Replication

/// `df2redis cutover`: makes the target the server that clients write to.
///
/// 1. find the task, and the configuration that it runs with
/// 2. run the preflight of task, source and target; then compare both sides and mend the differences, while clients write
/// 3. pause the source's writers, for a limited time
/// 4. wait until every flow has applied what the source has journaled
/// 5. fetch what the journal does not say
/// 6. compare, if the operator requests it
/// 7. make the task leave, FIN first and with exact TTLs: from here on there is no way back
///
/// Every failure before step 7, and Ctrl-C, lifts the pause, and the task goes on as before.
package struct CutoverService: Sendable {
    /// What to compare while the writers wait.
    package enum Check: Equatable, Sendable {
        case none
        /// A sample of the keys, in percent.
        case sample(Double)
        case all
    }

    package struct Request: Sendable {
        package var task: String
        /// `nil` means the file that the task was started with.
        package var configurationFile: String?
        /// `false` if the operator has stopped the writers.
        package var pauses = true
        /// The longest time that writers wait before the task leaves, and once more from then on.
        package var pauseLimit = Duration.seconds(10)
        package var check = Check.none
        /// Whether to compare and mend both sides before anybody is paused.
        package var verifies = true
        package var isDryRun = false

        package init(task: String) { self.task = task }
    }

    private let request: Request
    private let directory: RuntimeDirectory
    private let say: @Sendable (String) -> Void
    private let progress = CutoverProgress()

    /// - Parameter say: called with each line for the operator.
    package init(
        _ request: Request, in directory: RuntimeDirectory = RuntimeDirectory(),
        say: @escaping @Sendable (String) -> Void
    ) {
        self.request = request
        self.directory = directory
        self.say = say
    }

    package func run() async throws(CutoverFailure) {
        var signals = SignalWatcher()
        let work = Task { try await cutOver() }
        signals.watch { [progress, say] name in
            switch progress.interrupt() {
            case .notPaused:
                say("\(name): giving up; nobody was paused")
                work.cancel()
            case .paused:
                say("\(name): undoing the pause")
                work.cancel()
            case .committed: say("\(name): the task is leaving already, there is no way back")
            }
        }
        defer { withExtendedLifetime(signals) {} }
        do { try await work.value } catch { throw failure(error) }
    }

    /// The failure to report. After an interruption, errors of the work that was under way only show the interruption.
    private func failure(_ error: any Error) -> CutoverFailure {
        if let failure = error as? CutoverFailure { return failure }
        return CutoverFailure(progress.isInterrupted ? CancellationError() : error)
    }

    private func cutOver() async throws {
        let task = try await CutoverTask(request, in: directory)
        let lock = request.isDryRun ? nil : try CutoverLock(folder: task.folder)
        defer { withExtendedLifetime(lock) {} }
        let ready: CutoverTask
        do {
            let report = try await checkReadiness(of: task)
            say(report.text)
            guard report.exitStatus == .done else {
                throw CutoverFailure("the task is not ready for a cut-over; nothing was changed", report.exitStatus)
            }
            if request.isDryRun {
                for line in CutoverPlan(task, request).lines { say(line) }
                return
            }
            ready = try await verified(task)
        } catch {
            throw await explained(error, task)
        }
        try await switchOver(ready)
    }

    /// - Throws: `CancellationError`, because the findings of an interrupted preflight say nothing.
    private func checkReadiness(of task: CutoverTask) async throws -> PreflightReport {
        let findings = await CutoverReadiness(task, request).findings()
        try Task.checkCancellation()
        return PreflightReport(findings: findings)
    }

    /// Compares both sides and mends what differs, which may take long.
    ///
    /// - Returns: the task in its state after that.
    private func verified(_ task: CutoverTask) async throws -> CutoverTask {
        guard try await CutoverVerification(task, request, say: say).run() else { return task }
        let task = try await CutoverTask(request, in: directory)
        let report = try await checkReadiness(of: task)
        if report.exitStatus == .done { return task }
        say(report.text)
        throw CutoverFailure("the task is no longer ready for a cut-over; nothing was changed", report.exitStatus)
    }

    /// The failure before anybody is paused, with what happened to the task.
    private func explained(_ error: any Error, _ task: CutoverTask) async -> CutoverFailure {
        if progress.isInterrupted {
            var failure = CutoverFailure(CancellationError())
            failure.add("nothing was changed: the task goes on")
            return failure
        }
        var failure = CutoverFailure(error)
        let outcome = await CutoverAftermath(task, request).taskOutcome()
        if outcome.isInterruption { failure.add(outcome.line(freed: nil, unit: task.unit)) }
        return failure
    }

    // MARK: The switch

    private func switchOver(_ task: CutoverTask) async throws {
        let pause: WritePause
        do { pause = try await WritePause(settings: task.settings.source) } catch {
            throw await explained(error, task)
        }
        do {
            try await catchUpAndCompare(task, pause)
            if request.pauses { try await prolong(pause, of: task) }
            guard progress.commit() else { throw CancellationError() }
        } catch {
            throw await rollBack(pause, task, after: error)
        }
        try await leave(task, pause)
    }

    /// Steps 3 to 6.
    private func catchUpAndCompare(_ task: CutoverTask, _ pause: WritePause) async throws {
        let deadline = ContinuousClock.now + request.pauseLimit
        if request.pauses {
            guard progress.pause() else { throw CancellationError() }
            try await pause.begin(for: request.pauseLimit)
            say("writers at \(task.source) are paused, for \(request.pauseLimit.components.seconds) s at most")
        }
        let catchUp = CutoverCatchUp(task: task, source: pause, deadline: deadline - reserve)
        let records = try await request.pauses ? catchUp.waitWhilePaused() : catchUp.waitForQuiet()
        say("all \(task.flows) flows have applied what the source has journaled (\(records) records were missing)")
        // 5. Fetch what the journal does not say, now that writers wait and every record is applied.
        try await CutoverRefreshes(task, request, say: say).finish(until: deadline - reserve)
        try await CutoverStreams(task, request, say: say).fetch(until: deadline - reserve)
        try await CutoverComparison(task, request, say: say).run(until: deadline - reserve)
        try Task.checkCancellation()
    }

    /// Renews the pause, so that clients have time to move and the task has time to leave.
    ///
    /// If this process was suspended, with its terminal or its machine, the first pause may have ended before. The source has
    /// then taken writes that this cut-over has not seen.
    private func prolong(_ pause: WritePause, of task: CutoverTask) async throws {
        try await pause.begin(for: request.pauseLimit)
        guard await pause.isUnbroken else {
            throw CutoverFailure(
                "the pause of \(request.pauseLimit.components.seconds) s was over before it could be made longer: writers have gone on",
                .notDone, advice: "--pause-limit allows more time")
        }
        // The clock may not show that the machine was suspended, but the source's position does.
        _ = try await CutoverCatchUp(task: task, source: pause, deadline: .now + reserve).waitWhilePaused()
    }

    /// The part of `pauseLimit` that is kept for the time from the last check to the renewed pause.
    private var reserve: Duration { min(.seconds(1), request.pauseLimit / 4) }

    // MARK: Back, or on

    /// Lifts the pause even if the caller was cancelled, and says what happened to the task.
    private func rollBack(_ pause: WritePause, _ task: CutoverTask, after error: any Error) async -> CutoverFailure {
        var failure = failure(error)
        let wasPaused = await pause.end != nil
        let obstacle = await obstacle(lifting: pause, at: task.source)
        await pause.close()
        let aftermath = CutoverAftermath(task, request)
        // Writers no longer wait, so there is time to look for the cause.
        if failure.advice != nil { failure.explain(by: progress.isInterrupted ? [] : await aftermath.faults()) }
        let outcome = await aftermath.taskOutcome()
        if let obstacle {
            failure.add(obstacle)
            if case .goesOn(let summary?) = outcome { failure.add("the task goes on: \(summary)") }
        }
        if obstacle == nil || outcome.isInterruption {
            failure.add(outcome.line(freed: wasPaused && obstacle == nil ? task.source : nil, unit: task.unit))
        }
        return failure
    }

    /// - Returns: why the pause could not be lifted, and when it ends; `nil` if it is over or there was none.
    private func obstacle(lifting pause: WritePause, at source: String) async -> String? {
        do throws(SourceError) {
            try await pause.lift()
            return nil
        } catch {
            let rest = await pause.end.map { max(.zero, ContinuousClock.now.duration(to: $0)) } ?? .zero
            if error.code == .unreachable {
                return
                    "\(source) cannot be asked to lift the pause (\(error)): if its process has ended, so has the pause; else it "
                    + "ends by itself in \(rest.tenths) s"
            }
            return
                "the pause could not be lifted (\(error)): it ends by itself in \(rest.tenths) s. Or run CLIENT UNPAUSE at \(source)"
        }
    }

    /// Step 7.
    private func leave(_ task: CutoverTask, _ pause: WritePause) async throws {
        let limit = task.settings.leaveLimit + .seconds(5)
        let began = await pause.began
        let outcome: TaskStop.Outcome
        do {
            // With a pause nothing is under way any more. Without one, records of late writes are drained as usual.
            outcome = try await task.stop(timeout: limit, drains: !request.pauses) { [say] in say($0) }
        } catch {
            throw await rollBack(pause, task, after: error)
        }
        let now = ContinuousClock.now
        let end = await pause.end
        await pause.close()
        guard outcome == .ended else {
            throw CutoverFailure(
                "the task has applied everything and was asked to leave, but has not ended after \(limit.components.seconds) s: see its log. 'df2redis stop \(request.task) --force' kills it",
                .notDone)
        }
        if let began { say("writers waited \((began.duration(to: now)).hundredths) s; the task has left") }
        if let end, now > end {
            throw CutoverFailure(
                "the task needed longer to leave than the pause of \(request.pauseLimit.components.seconds) s lasted: what the source has taken since may be missing. Run 'df2redis check --config \(task.file)'",
                .notDone)
        }
        if let reason = await reasonForDoubt(in: task) {
            throw CutoverFailure(
                "\(reason). Run 'df2redis check --config \(task.file)' before clients write to \(task.target), or go back: "
                    + CutoverMark.undo(task.name, task.file), .notDone)
        }
        say("point clients to \(task.target) now")
        if let end {
            let rest = max(.zero, ContinuousClock.now.duration(to: end))
            say(
                "\(task.source) keeps writers waiting for another \(rest.tenths) s; what it takes after that is in no other server"
            )
        }
        say(
            "the task does not start again: it would overwrite what clients write there (\(CutoverMark.undo(task.name, task.file)))"
        )
        if let unit = task.unit { say("keep the task from starting at the next boot: systemctl disable \(unit)") }
    }

    /// - Returns: why the target may lack something although the task has left; `nil` if it has everything.
    private func reasonForDoubt(in task: CutoverTask) async -> String? {
        do throws(TargetError) {
            return Self.reasonForDoubt(in: try await task.note())
        } catch {
            return "the target cannot be asked whether it has everything (\(error))"
        }
    }

    /// - Parameter note: the note that the task has left at the target.
    static func reasonForDoubt(in note: CutOverNote?) -> String? {
        switch note?.isComplete {
        case true?: nil
        case false?: "the task has left with records that are not applied, see its log"
        case nil: "the task has left without a note at the target that it has everything, see its log"
        }
    }
}

extension Duration {
    /// Seconds with two decimals, rounded up.
    fileprivate var hundredths: String {
        let count = Int64((self / .milliseconds(10)).rounded(.up))
        let rest = count % 100
        return "\(count / 100).\(rest < 10 ? "0" : "")\(rest)"
    }
}
