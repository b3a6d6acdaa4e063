import CSystemd  // `timespec` comes to Swift through the first C module that includes it
import Glibc

/// The time of day.
enum WallClock {
    /// The time since 1970-01-01T00:00:00Z.
    static func now() -> Duration { read(CLOCK_REALTIME) }

    /// The time since the machine started, without its sleep.
    static func monotonic() -> Duration { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Duration {
        var time = timespec()
        clock_gettime(clock, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
