package import Dispatch

/// Runs an actor on a serial Dispatch queue, so that the queue's sources and timers are inside the actor.
///
/// `DispatchSerialQueue` is not an executor on Linux (Swift 6.3).
package final class QueueExecutor: SerialExecutor {
    package let queue: DispatchQueue

    /// The queue is of default quality of service: for another one Dispatch asks for a nice value, and complains on
    /// standard error for each of its threads where that is refused, as in a container.
    package init(label: String) {
        queue = DispatchQueue(label: label)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // The block keeps the executor: a job may outlive its actor, which is all else that does.
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}
