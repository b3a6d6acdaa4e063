import Glibc

/// The clocks of the machine, where `ContinuousClock` does not do.
package enum WallClock {
    /// The time since 1970-01-01T00:00:00Z.
    package static func now() -> Duration { read(CLOCK_REALTIME) }

    /// Milliseconds since 1970-01-01T00:00:00Z: what the protocols count in.
    package static func milliseconds() -> Int64 { now().milliseconds }

    /// The time since the machine started, without its sleep.
    package static func monotonic() -> Duration { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Duration {
        var time = timespec()
        clock_gettime(clock, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
