import Foundation
import Wire

/// A connection that waits, on a thread of its own, for the end of a long command.
package final class WaitingThread: @unchecked Sendable {  // the flag is under the lock, the client is the thread's
    private let lock = NSLock()
    private var isOver = false
    private let body: () -> Void

    package init(_ client: RESPClient, _ command: [String]) {
        body = { _ = try? client.send(command.map { Array($0.utf8) }) }
    }

    package var hasEnded: Bool { lock.withLock { isOver } }

    package func start() {
        Thread {
            self.body()
            self.lock.withLock { self.isOver = true }
        }.start()
    }
}
