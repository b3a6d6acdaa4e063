package import Dashboard
import Replication

/// `df2redis verify`: makes a running task compare both sides once and mend what differs.
package struct TaskVerification: Sendable {
    package static let usualKeysPerSecond = 5000
    private static let pause = Duration.milliseconds(100)

    private let client: AsyncControlClient
    private let keysPerSecond: Int

    /// - Throws: `OperatorRequestFailure`
    package init(
        task: String, keysPerSecond: Int = usualKeysPerSecond, in directory: RuntimeDirectory = RuntimeDirectory()
    ) throws(OperatorRequestFailure) {
        self.init(try AsyncControlClient(task: task, in: directory), keysPerSecond: keysPerSecond)
    }

    init(_ client: AsyncControlClient, keysPerSecond: Int = usualKeysPerSecond) {
        self.client = client
        self.keysPerSecond = keysPerSecond
    }

    /// Begins a pass, or joins the one that is under way.
    ///
    /// - Throws: `OperatorRequestFailure`
    package func begin() async throws(OperatorRequestFailure) -> VerificationAnswer {
        do {
            return try await client.request { [keysPerSecond] in try $0.verify(keysPerSecond: keysPerSecond) }
        } catch {
            throw OperatorRequestFailure(error)
        }
    }

    /// Begins a pass and waits for its end. Ctrl-C ends the wait, and the pass too unless somebody else began it.
    ///
    /// - Parameters:
    ///   - onBegin: called once, before the other callbacks.
    ///   - onWait: called with what the pass waits for, once for each reason.
    /// - Throws: `OperatorRequestFailure`
    package func run(
        onBegin: @escaping @Sendable (VerificationAnswer) -> Void,
        onWait: @escaping @Sendable (String) -> Void,
        onProgress: @escaping @Sendable (VerificationAnswer) -> Void
    ) async throws(OperatorRequestFailure) -> VerificationAnswer {
        try await InterruptibleCommand.run {
            try await wait(onBegin: onBegin, onWait: onWait, onProgress: onProgress)
        }
    }

    /// Does the work of `run`; the caller cancels its task instead of pressing Ctrl-C.
    func wait(
        onBegin: @Sendable (VerificationAnswer) -> Void, onWait: @Sendable (String) -> Void = { _ in },
        onProgress: @Sendable (VerificationAnswer) -> Void
    ) async throws -> VerificationAnswer {
        let first = try await client.request { [keysPerSecond] in try $0.verify(keysPerSecond: keysPerSecond) }
        onBegin(first)
        do {
            var (now, told) = (first, Set<String>())
            while !now.state.isOver, !now.isObstructed {
                onProgress(now)
                if let waitReason = now.waitReason, told.insert(waitReason).inserted { onWait(waitReason) }
                try await Task.sleep(for: Self.pause)
                now = try await client.request { try $0.verification() }
                guard now.pid == first.pid, now.number == first.number else { throw OperatorRequestFailure.restarted }
            }
            return now
        } catch {
            // Only the command that began the pass ends it.
            if Task.isCancelled, first.joined != true {
                await Task { [client] in
                    _ = try? await client.request { try $0.stopVerification(first.number) }
                }.value
            }
            throw Task.isCancelled ? CancellationError() : error
        }
    }
}
