import Dashboard
import Dispatch

/// Makes requests to a running task over its Unix socket without blocking a thread of Swift's cooperative pool.
struct AsyncControlClient: Sendable {
    let socket: ControlSocket
    private let queue = DispatchQueue(label: "df2redis.requests")
    private static let patience = Duration.seconds(3)

    /// - Throws: `OperatorRequestFailure` when the task does not run.
    init(task: String, in directory: RuntimeDirectory) throws(OperatorRequestFailure) {
        do throws(ControlClient.Failure) { socket = try directory.socket(ofRunning: task) } catch {
            throw OperatorRequestFailure(error)
        }
    }

    /// - Throws: `ControlClient.Failure`
    func request<Answer: Sendable>(
        _ body: @escaping @Sendable (ControlClient) throws -> Answer
    ) async throws -> Answer {
        let client = ControlClient(socket, timeout: Self.patience)
        return try await onQueue { try body(client) }
    }

    func onQueue<Answer: Sendable>(_ body: @escaping @Sendable () throws -> Answer) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try body() }) }
        }
    }
}
