import Dispatch
import Logging
import Synchronization

/// Reports that the coordinator has stopped beating, which the coordinator cannot report itself. The observer has a queue
/// of its own and does not beat in the coordinator's place.
final class BeatObserver: Sendable {
    private let beats = Atomic<Int>(0)

    /// Records that the coordinator has run. Called by the coordinator.
    func beat() { beats.add(1, ordering: .relaxed) }

    /// Starts to watch the beats, once a second.
    ///
    /// - Parameter limit: the number of seconds that a beat may be late.
    /// - Returns: the timer, which runs until it is cancelled.
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
