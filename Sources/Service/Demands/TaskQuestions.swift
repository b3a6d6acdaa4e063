import Dashboard
import Dispatch

/// Asks a running task over its Unix socket without keeping one of Swift's few threads waiting.
struct TaskQuestions: Sendable {
    let socket: ControlSocket
    private let queue = DispatchQueue(label: "df2redis.questions")
    private static let patience = Duration.seconds(3)

    /// - Throws: `ControlClient.Failure` when the task does not run.
    init(task: String, in directory: RuntimeDirectory) throws(ControlClient.Failure) {
        socket = try directory.socket(ofRunning: task)
    }

    /// - Throws: `ControlClient.Failure`
    func ask<Answer: Sendable>(
        _ question: @escaping @Sendable (ControlClient) throws -> Answer
    ) async throws -> Answer {
        let client = ControlClient(socket, timeout: Self.patience)
        return try await onQueue { try question(client) }
    }

    func onQueue<Answer: Sendable>(_ body: @escaping @Sendable () throws -> Answer) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try body() }) }
        }
    }
}

/// Why a command on a running task has not done what it was asked for.
package struct DemandFailure: Error, CustomStringConvertible {
    package let description: String
    package let exitStatus: ExitStatus

    init(_ description: String, _ exitStatus: ExitStatus) {
        self.description = description
        self.exitStatus = exitStatus
    }

    init(_ error: any Error) {
        switch error {
        case let error as DemandFailure: self = error
        case let error as ControlClient.Failure: self.init(error.description, error.exitStatus)
        case is CancellationError: self.init("interrupted", .notDone)
        default: self.init("\(error)", .defect)
        }
    }

    static let restarted = DemandFailure(
        "the task has been restarted meanwhile: ask it again", .notDone)
}

/// Runs the work of a command until it is done, or the operator interrupts it.
enum InterruptibleCommand {
    /// - Parameter onInterrupt: called with the signal's name.
    static func run<Result: Sendable>(
        onInterrupt: @escaping @Sendable (String) -> Void, _ work: @escaping @Sendable () async throws -> Result
    ) async throws(DemandFailure) -> Result {
        var signals = SignalWatcher()
        let task = Task { try await work() }
        signals.watch { name in
            onInterrupt(name)
            task.cancel()
        }
        defer { withExtendedLifetime(signals) {} }
        do { return try await task.value } catch { throw DemandFailure(error) }
    }
}
