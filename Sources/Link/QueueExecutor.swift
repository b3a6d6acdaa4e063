package import Dispatch

/// Runs an actor on a serial Dispatch queue, so that the queue's sources and timers run inside the actor.
///
/// `DispatchSerialQueue` is not an executor on Linux (Swift 6.3).
package final class QueueExecutor: SerialExecutor {
    package let queue: DispatchQueue

    /// Makes a queue with the default quality of service. For any other, Dispatch asks for a nice value, and complains on
    /// standard error for each of its threads if that is refused, as in a container.
    package init(label: String) {
        queue = DispatchQueue(label: label)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // The block keeps the executor alive: a job may outlive its actor, which is the only other owner.
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
