import Base
import Dashboard
import Replication

/// `df2redis refresh`: makes a running task read keys at the source again and write them to the target.
package struct TaskRefresh: Sendable {
    package static let usualKeysPerSecond = 1000
    private static let pause = Duration.milliseconds(100)

    /// The counts and the state of a refresh, during it or at its end.
    package struct Outcome: Sendable {
        package var asked = 0
        /// Keys whose shard at the source is not known.
        package var unplaced = 0
        /// Keys for which the task had no room. After the first of them no more keys are requested.
        package var noRoom = 0
        /// Lines that name no key or a key that is cut off, and keys too long for a request.
        package var unreadable = 0
        package var waiting = 0
        package var changing = 0
        package var failed = 0
        /// Keys that a policy leaves out.
        package var leftOut = 0
        /// The reason why nothing is read at present.
        package var obstacle: String?
        /// Whether nothing will be read before an operator acts. The command does not wait for that.
        package var isObstructed = false

        package var remaining: Int {
            unplaced + noRoom + unreadable + changing + failed + (isObstructed ? waiting : 0)
        }
    }

    private let client: AsyncControlClient
    private let keysPerSecond: Int

    /// - Throws: `OperatorRequestFailure`
    package init(
        task: String, keysPerSecond: Int = usualKeysPerSecond, in directory: RuntimeDirectory = RuntimeDirectory()
    ) throws(OperatorRequestFailure) {
        client = try AsyncControlClient(task: task, in: directory)
        self.keysPerSecond = keysPerSecond
    }

    /// Requests all keys of `source` and, if `waits` is set, waits until they are read and written. Ctrl-C ends both.
    ///
    /// - Parameters:
    ///   - onWait: called with what the keys wait for, once for each reason.
    ///   - onProgress: called with the outcome so far.
    /// - Throws: `OperatorRequestFailure`
    package func run(
        _ source: KeySource, waits: Bool, onWait: @escaping @Sendable (String) -> Void = { _ in },
        onProgress: @escaping @Sendable (Outcome) -> Void
    ) async throws(OperatorRequestFailure) -> Outcome {
        try await InterruptibleCommand.run {
            var (outcome, receipt) = try await ask(source, onProgress)
            guard waits, let receipt else { return outcome }
            var standstill = RefreshStandstill(at: .now)
            while true {
                let progress = try await client.request { try $0.refreshProgress(before: receipt.mark) }
                guard progress.pid == receipt.pid else { throw OperatorRequestFailure.restarted }
                outcome.waiting = progress.waiting
                outcome.changing = progress.changing
                outcome.leftOut = max(0, progress.leftOut - receipt.leftOutBefore)
                outcome.failed = max(0, progress.failed - receipt.failedBefore - outcome.noRoom)
                if standstill.needsReason(waiting: progress.waiting, at: .now) {
                    standstill.explain(by: try await client.request { try $0.status().status.ready }, at: .now)
                }
                let unstable = progress.phase == .stable ? nil : "the task is not stable (\(progress.phase.rawValue))"
                outcome.obstacle = progress.obstacle ?? standstill.reason ?? unstable
                onProgress(outcome)
                outcome.isObstructed = progress.waiting > 0 && progress.obstacle != nil
                if !outcome.isObstructed, let newReason = standstill.takeNewReason() { onWait(newReason) }
                if progress.waiting == 0 || outcome.isObstructed { return outcome }
                try await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Requests the keys in messages of bounded size, until the task has no room for more.
    private func ask(
        _ source: KeySource, _ onProgress: @Sendable (Outcome) -> Void
    ) async throws -> (Outcome, OperatorRequestAnswer<RefreshReceipt>?) {
        var outcome = Outcome()
        var last: OperatorRequestAnswer<RefreshReceipt>?
        var before: (failed: Int, leftOut: Int)?
        var body = KeyListBody()
        func send() async throws {
            guard !body.bytes.isEmpty else { return }
            let (bytes, rate) = (body.bytes, keysPerSecond)
            body = KeyListBody()
            var receipt = try await client.request { try $0.refresh(bytes, keysPerSecond: rate) }
            let first = before ?? (receipt.failedBefore, receipt.leftOutBefore)
            before = first
            (receipt.content.failedBefore, receipt.content.leftOutBefore) = first
            if let last, last.pid != receipt.pid { throw OperatorRequestFailure.restarted }
            last = receipt
            outcome.asked += receipt.asked
            outcome.unplaced += receipt.unplaced
            outcome.noRoom += receipt.noRoom
            onProgress(outcome)
        }
        var keys = try source.open()
        while let next = try keys.next(), outcome.noRoom == 0 {
            try Task.checkCancellation()
            guard case .key(let key) = next, KeyListBody.hasRoom(for: key) else {
                outcome.unreadable += 1
                continue
            }
            if !body.append(key) {
                try await send()
                _ = body.append(key)
            }
        }
        try await send()
        return (outcome, last)
    }
}

extension TaskRefresh.Outcome {
    package var exitStatus: ExitStatus { remaining == 0 ? .done : .keysDiffer }

    /// One line for a terminal.
    package var progress: String {
        waiting == 0
            ? "\(counted(asked, "key")) asked for"
            : "reading at the source: \(waiting) of \(counted(asked, "key")) left\(obstacle.map { ": \($0)" } ?? "")"
    }

    /// The result for an operator, one fact per line.
    package func report(waited: Bool) -> [String] {
        var lines = ["\(counted(asked, "key")) asked for"]
        if waited, asked > 0 {
            let equal = max(0, asked - changing - failed - leftOut - waiting)
            lines[0] += ", \(equal) of them \(equal == 1 ? "is" : "are") as at the source"
        }
        func add(_ count: Int, _ one: String, _ many: String) {
            if count > 0 { lines.append("\(count) \(count == 1 ? one : many)") }
        }
        if isObstructed, let obstacle { add(waiting, "waits to be read: \(obstacle)", "wait to be read: \(obstacle)") }
        add(leftOut, "is left out by policy", "are left out by policy")
        add(
            unreadable, "line names no key, or one that is cut off: give this key as an argument",
            "lines name no key, or one that is cut off: give these keys as arguments")
        add(
            unplaced, "key was not asked for: it is not known which shard of the source has it",
            "keys were not asked for: it is not known which shard of the source has them")
        add(
            noRoom, "key found no room, and none after it was asked for: run it again when fewer wait",
            "keys found no room, and none after them was asked for: run it again when fewer wait")
        add(
            changing, "changes whenever it is read, and waits to be read again",
            "change whenever they are read, and wait to be read again")
        let reason = "could not be read or written: the task's log and its *.dead-letters.jsonl say why"
        add(failed, reason, reason)
        return lines
    }
}
