import Base
import Dispatch
import Glibc

/// Delivers log records in order, on a queue of its own.
///
/// Code that logs never waits: not for a terminal that is stopped (Ctrl-S), a pipe that nobody reads, or a journal that
/// hangs. A limited number of bytes waits for such a reader. Further records are dropped and counted.
///
/// Records that wait at the end of the process are delivered by `exit`, if that takes no longer than `patience`.
package final class LogQueue: Sendable {
    private struct State {
        var waitingBytes = 0
        var dropped = 0
    }

    private static let patience = Duration.seconds(3)

    /// The queue of this process.
    static let shared: LogQueue = {
        atexit { LogQueue.shared.flush() }
        return LogQueue(limitBytes: 1 << 20)
    }()

    private let queue = DispatchQueue(label: "df2redis.log")
    private let state = Lock(State())
    private let limitBytes: Int

    init(limitBytes: Int) { self.limitBytes = limitBytes }

    /// Delivers a record of `bytes` bytes in the background, or drops it.
    func add(bytes: Int, _ deliver: @escaping @Sendable () -> Void) {
        let isAccepted = state.withLock { state in
            // One record always has room.
            guard state.waitingBytes == 0 || state.waitingBytes + bytes <= limitBytes else {
                state.dropped += 1
                return false
            }
            state.waitingBytes += bytes
            return true
        }
        guard isAccepted else { return }
        queue.async { [self] in
            deliver()
            state.withLock { $0.waitingBytes -= bytes }
        }
    }

    /// How many records have been dropped since the last call.
    func takeDropped() -> Int {
        state.withLock { state in
            defer { state.dropped = 0 }
            return state.dropped
        }
    }

    /// Waits until every record that was added before has been delivered, or for `patience`.
    func flush() {
        let isDone = DispatchSemaphore(value: 0)
        queue.async { isDone.signal() }
        _ = isDone.wait(timeout: .now() + .milliseconds(Int(Self.patience.milliseconds)))
    }
}
