import Foundation

/// A thread that works until it is asked to end, or until its work throws.
final class WorkerThread: @unchecked Sendable {  // what both threads touch is under the lock
    private let condition = NSCondition()
    private var state = (isEnding: false, hasEnded: false)
    private var error: (any Error)?

    /// - Parameter work: called once, on the new thread. It checks `isEnding` between two steps.
    func start(_ work: @escaping @Sendable () throws -> Void) {
        Thread {
            let result = Result(catching: work)
            self.condition.withLock {
                if case .failure(let error) = result { self.error = error }
                self.state.hasEnded = true
                self.condition.broadcast()
            }
        }.start()
    }

    var isEnding: Bool { condition.withLock { state.isEnding } }

    func end() { condition.withLock { state.isEnding = true } }

    /// Waits for the end of the work.
    ///
    /// - Throws: what the work has thrown.
    func join() throws {
        condition.lock()
        defer { condition.unlock() }
        while !state.hasEnded { condition.wait() }
        if let error { throw error }
    }
}
