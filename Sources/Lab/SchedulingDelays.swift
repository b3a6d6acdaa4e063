import Foundation

/// Measures how long a process was ready to run but got no processor: a delay that the busy machine causes.
///
/// The kernel counts it for each thread (the second number of `/proc/<pid>/task/<tid>/schedstat`, in nanoseconds); a
/// background thread samples these numbers ten times a second.
package final class SchedulingDelays: @unchecked Sendable {  // everything is under the lock
    private struct Sample {
        var time: ContinuousClock.Instant
        var delays: [String: Int]
    }

    private let folder: String
    private let lock = NSLock()
    private var samples: [Sample] = []
    private var isStopped = false

    package init(pid: Int32) {
        folder = "/proc/\(pid)/task"
        sample()
        Thread { [self] in
            while !lock.withLock({ isStopped }) {
                blockThread(for: .milliseconds(100))
                sample()
            }
        }.start()
    }

    package func stop() { lock.withLock { isStopped = true } }

    /// Returns roughly how long one thread waited for a processor between two moments; zero if the kernel does not
    /// count it.
    ///
    /// The samples before and after the two moments enclose a longer time. The part of that time which lies outside the
    /// moments is subtracted, because the whole wait may lie there.
    package func between(_ start: ContinuousClock.Instant, _ end: ContinuousClock.Instant) -> Duration {
        sample()
        return lock.withLock {
            guard let before = samples.last(where: { $0.time <= start }) ?? samples.first,
                let after = samples.first(where: { $0.time >= end })
            else { return .zero }
            let delays = after.delays.map { $0.value - (before.delays[$0.key] ?? 0) }
            let outside = before.time.duration(to: after.time) - start.duration(to: end)
            // The kernel counts a wait when it ends, so a counted wait may have begun before.
            return min(max(.nanoseconds(delays.max() ?? 0) - outside, .zero), start.duration(to: end))
        }
    }

    private func sample() {
        var delays: [String: Int] = [:]
        for thread in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            let text = try? String(contentsOfFile: "\(folder)/\(thread)/schedstat", encoding: .utf8)
            let fields = text?.split(separator: " ") ?? []
            if fields.count > 1, let delay = Int(fields[1]) { delays[thread] = delay }
        }
        lock.withLock { samples.append(Sample(time: .now, delays: delays)) }
    }
}
