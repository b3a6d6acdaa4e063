import Glibc

/// Polls `condition` until it holds.
///
/// - Throws: `LabError` with `what` when it does not hold within `timeout`, or what `condition` throws.
package func wait(
    until what: String, timeout: Duration = .seconds(30), every pause: Duration = .milliseconds(10),
    _ condition: () throws -> Bool
) throws {
    let deadline = ContinuousClock.now + timeout
    while try !condition() {
        if ContinuousClock.now >= deadline { throw LabError("not within \(timeout): \(what)") }
        blockThread(for: pause)
    }
}

/// Polls `condition` until it holds, without blocking a thread of the concurrency pool in between.
///
/// - Throws: as the synchronous form; `CancellationError` when the task is cancelled.
package func wait(
    until what: String, timeout: Duration = .seconds(30), every pause: Duration = .milliseconds(10),
    isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + timeout
    while try await !condition() {
        if ContinuousClock.now >= deadline { throw LabError("not within \(timeout): \(what)") }
        try await Task.sleep(for: pause)
    }
}

/// Blocks the thread for `pause`.
package func blockThread(for pause: Duration) {
    let (seconds, attoseconds) = pause.components
    var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    nanosleep(&time, nil)
}

extension Duration {
    /// Seconds as a floating-point number, for figures that people read.
    package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
