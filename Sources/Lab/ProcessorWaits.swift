import Foundation

/// How long a process has been ready to run and got no processor: what a busy machine does to it, and nobody else.
///
/// The kernel counts it for each thread (the second number of `/proc/<pid>/task/<tid>/schedstat`, in nanoseconds); a thread
/// of ours looks ten times a second.
package final class ProcessorWaits: @unchecked Sendable {  // everything is under the lock
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
        look()
        Thread { [self] in
            while !lock.withLock({ isStopped }) {
                nap(.milliseconds(100))
                look()
            }
        }.start()
    }

    package func stop() { lock.withLock { isStopped = true } }

    /// About what one thread waited between two moments: of what is counted from the look before to the look after them
    /// that which cannot lie outside of them. Zero where the kernel does not count it.
    package func between(_ start: ContinuousClock.Instant, _ end: ContinuousClock.Instant) -> Duration {
        look()
        return lock.withLock {
            guard let before = samples.last(where: { $0.time <= start }) ?? samples.first,
                let after = samples.first(where: { $0.time >= end })
            else { return .zero }
            let delays = after.delays.map { $0.value - (before.delays[$0.key] ?? 0) }
            let outside = before.time.duration(to: after.time) - start.duration(to: end)
            // A turn that is waited for is counted when it comes, so what is counted may have begun before.
            return min(max(.nanoseconds(delays.max() ?? 0) - outside, .zero), start.duration(to: end))
        }
    }

    private func look() {
        var delays: [String: Int] = [:]
        for thread in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            let text = try? String(contentsOfFile: "\(folder)/\(thread)/schedstat", encoding: .utf8)
            let fields = text?.split(separator: " ") ?? []
            if fields.count > 1, let delay = Int(fields[1]) { delays[thread] = delay }
        }
        lock.withLock { samples.append(Sample(time: .now, delays: delays)) }
    }
}
