import Glibc

/// The clocks of the machine for cases in which `ContinuousClock` is not enough.
package enum WallClock {
    /// The time since 1970-01-01T00:00:00Z.
    package static func now() -> Duration { read(CLOCK_REALTIME) }

    /// Milliseconds since 1970-01-01T00:00:00Z, the unit of the protocols.
    package static func milliseconds() -> Int64 { now().milliseconds }

    /// The time since the machine started, without the time that it was suspended.
    package static func monotonic() -> Duration { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Duration {
        var time = timespec()
        clock_gettime(clock, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
