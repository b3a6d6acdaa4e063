import Foundation
import Wire

/// A thread that sends a long command and waits for its end.
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
