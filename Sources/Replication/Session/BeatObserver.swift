import Dispatch
import Logging
import Synchronization

/// Reports that the coordinator's beats have stopped, which it cannot report itself. On a queue of its own; it does not
/// beat in the coordinator's place.
final class BeatObserver: Sendable {
    private let beats = Atomic<Int>(0)

    /// The coordinator has had its turn.
    func beat() { beats.add(1, ordering: .relaxed) }

    /// - Parameter limit: seconds that a beat may be late.
    /// - Returns: the timer, which lives until it is cancelled.
    func start(limit: Int, logger: Logger) -> any DispatchSourceTimer {
        let timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "df2redis.beats"))
        var (last, missed) = (0, 0)
        timer.schedule(deadline: .now() + 1, repeating: 1)
        timer.setEventHandler { [weak self] in
            guard let self else { return }
            let now = beats.load(ordering: .relaxed)
            if now != last, missed > limit { logger.notice("the coordinator runs again") }
            (last, missed) = (now, now == last ? missed + 1 : 0)
            if missed == limit + 1 {
                logger.error("the coordinator has not run for \(missed) s: no watchdog pings until it does")
            }
        }
        timer.activate()
        return timer
    }
}
